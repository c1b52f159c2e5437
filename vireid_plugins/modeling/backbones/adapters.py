"""Where each fast-reid backbone is cut into stem and stages."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from fastreid.config import CfgNode
from torch import nn

from vireid_plugins.config.check import require_name

# Name of a fast-reid backbone builder -> function that cuts what it builds.
ADAPTERS: dict[str, Callable[[nn.Module, CfgNode], "Cut"]] = {}


@dataclass(frozen=True)
class Cut:
    """A backbone in pieces: the modules of the stem, and for each of four stages its blocks, in order."""

    stem: list[nn.Module]
    stages: list[list[nn.Module]]


def register_adapter(
    builder: str,
) -> Callable[[Callable[[nn.Module, CfgNode], Cut]], Callable[[nn.Module, CfgNode], Cut]]:
    """Register the decorated function as the adapter of the fast-reid backbone `builder`."""

    def register(function: Callable[[nn.Module, CfgNode], Cut]) -> Callable[[nn.Module, CfgNode], Cut]:
        ADAPTERS[builder] = function
        return function

    return register


def cut(backbone: nn.Module, cfg: CfgNode) -> Cut:
    """Cut `backbone`, built by `MODEL.STREAMS.BACKBONE`.

    Raises:
        ConfigError: that backbone has no adapter; the message lists those that have.
    """
    require_name("MODEL.STREAMS.BACKBONE", cfg.MODEL.STREAMS.BACKBONE, ADAPTERS)
    return ADAPTERS[cfg.MODEL.STREAMS.BACKBONE](backbone, cfg)


@register_adapter("build_resnet_backbone")
def cut_resnet(backbone: Any, cfg: CfgNode) -> Cut:
    """Cut fast-reid's ResNet, with its own non-local blocks (`WITH_NL`) where it puts them."""
    require_name("MODEL.STREAMS.MAX_POOL", cfg.MODEL.STREAMS.MAX_POOL, ("fastreid", "torchvision"))
    torchvision_pool = nn.MaxPool2d(kernel_size=3, stride=2, padding=1)
    pool = torchvision_pool if cfg.MODEL.STREAMS.MAX_POOL == "torchvision" else backbone.maxpool
    stages = []
    for number in range(1, 5):
        blocks: list[nn.Module] = []
        after = dict(zip(getattr(backbone, f"NL_{number}_idx"), getattr(backbone, f"NL_{number}", []), strict=True))
        for index, block in enumerate(getattr(backbone, f"layer{number}")):
            blocks.append(nn.Sequential(block, after[index]) if index in after else block)
        stages.append(blocks)
    return Cut([backbone.conv1, backbone.bn1, backbone.relu, pool], stages)
