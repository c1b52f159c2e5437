"""Adapters that cut each fast-reid backbone into a stem and stages."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from fastreid.config import CfgNode
from torch import nn

from vireid_plugins.errors import require_name
from vireid_plugins.modeling.backbones.pretrained import max_pool_of
from vireid_plugins.modeling.backbones.tokens import Grid
from vireid_plugins.modeling.backbones.vit import build_vit, pieces_of

# Name of a fast-reid backbone builder -> function that cuts the backbones it builds.
ADAPTERS: dict[str, Callable[[nn.Module, CfgNode], "Cut"]] = {}
# Name of a fast-reid backbone builder -> what builds its network in its place, with further keys.
BUILDERS: dict[str, Callable[[CfgNode], nn.Module]] = {"build_vit_backbone": build_vit}


@dataclass(frozen=True)
class Cut:
    """A backbone cut into pieces: the modules of the stem and the blocks of each of the four stages, in order.

    Attributes:
        stem: the modules of the stem, called as `module(x)`.
        stages: the blocks of each stage, called as `block(x)`, or as `block(x, modalities)` if they have an attribute
            `takes_modalities` that is true.
        grid: layout of the sequences that the stages take and return; None: they are feature maps.
    """

    stem: list[nn.Module]
    stages: list[list[nn.Module]]
    grid: Grid | None = None


def register_adapter(
    builder: str,
) -> Callable[[Callable[[nn.Module, CfgNode], Cut]], Callable[[nn.Module, CfgNode], Cut]]:
    """Register the decorated function as the adapter of the fast-reid backbone `builder`."""

    def register(function: Callable[[nn.Module, CfgNode], Cut]) -> Callable[[nn.Module, CfgNode], Cut]:
        ADAPTERS[builder] = function
        return function

    return register


def cut(backbone: nn.Module, cfg: CfgNode) -> Cut:
    """Cut `backbone`, built by `MODEL.STREAMS.BACKBONE`, into a stem and stages.

    Raises:
        ConfigError: there is no adapter for that backbone; the message lists those available.
    """
    require_name("MODEL.STREAMS.BACKBONE", cfg.MODEL.STREAMS.BACKBONE, ADAPTERS)
    return ADAPTERS[cfg.MODEL.STREAMS.BACKBONE](backbone, cfg)


@register_adapter("build_resnet_backbone")
def cut_resnet(backbone: Any, cfg: CfgNode) -> Cut:
    """Cut fast-reid's ResNet; its non-local blocks (`WITH_NL`) stay where they are."""
    require_name("MODEL.STREAMS.MAX_POOL", cfg.MODEL.STREAMS.MAX_POOL, ("auto", "fastreid", "torchvision"))
    torchvision_pool = nn.MaxPool2d(kernel_size=3, stride=2, padding=1)
    pool = torchvision_pool if max_pool_of(cfg) == "torchvision" else backbone.maxpool
    stages = []
    for number in range(1, 5):
        blocks: list[nn.Module] = []
        non_local = dict(zip(getattr(backbone, f"NL_{number}_idx"), getattr(backbone, f"NL_{number}", []), strict=True))
        for index, block in enumerate(getattr(backbone, f"layer{number}")):
            blocks.append(nn.Sequential(block, non_local[index]) if index in non_local else block)
        stages.append(blocks)
    return Cut([backbone.conv1, backbone.bn1, backbone.relu, pool], stages)


@register_adapter("build_resnext_backbone")
@register_adapter("build_resnest_backbone")
def cut_plain_resnet(backbone: Any, cfg: CfgNode) -> Cut:
    """Cut fast-reid's ResNeXt and ResNeSt."""
    pool = backbone.maxpool if hasattr(backbone, "maxpool") else backbone.maxpool1
    stages = [list(getattr(backbone, f"layer{number}")) for number in range(1, 5)]
    return Cut([backbone.conv1, backbone.bn1, backbone.relu, pool], stages)


@register_adapter("build_osnet_backbone")
def cut_osnet(backbone: Any, cfg: CfgNode) -> Cut:
    """Cut OSNet; its last 1 x 1 convolution is stage 4."""
    stages = [list(backbone.conv2), list(backbone.conv3), list(backbone.conv4), [backbone.conv5]]
    return Cut([backbone.conv1, backbone.maxpool], stages)


@register_adapter("build_regnet_backbone")
def cut_regnet(backbone: Any, cfg: CfgNode) -> Cut:
    """Cut RegNet."""
    return Cut([backbone.stem], [list(getattr(backbone, f"s{number}").children()) for number in range(1, 5)])


@register_adapter("build_effnet_backbone")
def cut_effnet(backbone: Any, cfg: CfgNode) -> Cut:
    """Cut EfficientNet where the feature map is downsampled; its head belongs to stage 4."""
    parts = {number: list(getattr(backbone, f"s{number}").children()) for number in range(1, 8)}
    stages = [parts[1] + parts[2], parts[3], parts[4] + parts[5], [*parts[6], *parts[7], backbone.head]]
    return Cut([backbone.stem], stages)


@register_adapter("build_mobilenetv2_backbone")
def cut_mobilenetv2(backbone: Any, cfg: CfgNode) -> Cut:
    """Cut MobileNetV2 where the feature map is downsampled; its last 1 x 1 convolution belongs to stage 4."""
    blocks = list(backbone.features)
    return Cut([blocks[0]], [blocks[1:4], blocks[4:7], blocks[7:14], [*blocks[14:], backbone.conv]])


@register_adapter("build_shufflenetv2_backbone")
def cut_shufflenetv2(backbone: Any, cfg: CfgNode) -> Cut:
    """Cut ShuffleNetV2; its last 1 x 1 convolution is stage 4."""
    blocks = list(backbone.features)
    first, second = backbone.stage_repeats[0], sum(backbone.stage_repeats[:2])
    stages = [blocks[:first], blocks[first:second], blocks[second:], [backbone.conv_last]]
    return Cut([backbone.first_conv, backbone.maxpool], stages)


@register_adapter("build_repvgg_backbone")
def cut_repvgg(backbone: Any, cfg: CfgNode) -> Cut:
    """Cut RepVGG."""
    return Cut([backbone.stage0], [list(getattr(backbone, f"stage{number}")) for number in range(1, 5)])


@register_adapter("build_vit_backbone")
def cut_vit(backbone: Any, cfg: CfgNode) -> Cut:
    """Cut the vision transformer; its stages have sequences instead of feature maps."""
    return Cut(*pieces_of(backbone, cfg))
