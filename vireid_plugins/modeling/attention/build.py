"""The registry of attention modules, which `MODEL.ATTENTION.STAGE1` .. `STAGE4` plug into the backbone."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from fastreid.config import CfgNode
from torch import nn

from vireid_plugins.config.check import registered
from vireid_plugins.config.keys import KeyedRegistry
from vireid_plugins.errors import ConfigError, require_name

ATTENTION_REGISTRY = KeyedRegistry("ATTENTION", "MODEL.ATTENTION")
ATTENTION_REGISTRY.__doc__ = """
Modules `forward(x (B, C, H, W), modalities (B,) on the host or None) -> (B, C, H, W)`. They are plugged into any
backbone by `MODEL.ATTENTION.STAGE2: ["NonLocal@2", "MIIM"]` (after zero-based block 2; at the end of the stage) and
built by `from_config(cfg, shape)` from their node and the `MapShape` of their input. The keyword-only parameters of a
class, such as `NonLocal`, are the keys of its node, `MODEL.ATTENTION.NON_LOCAL`.

Modules that relate several feature maps belong to their method, which builds and calls them; they are not registered.
"""


@dataclass(frozen=True)
class MapShape:
    """The feature map that a map module takes.

    Attributes:
        stage: 1..4.
        channels: C of the feature map.
        to_last: stride from this feature map to the last one, for both axes or height and width.
        sizes: height and width of the feature map by the key of the image size, `INPUT.SIZE_TRAIN` or
            `INPUT.SIZE_TEST`.
    """

    stage: int
    channels: int
    to_last: int | tuple[int, int]
    sizes: Mapping[str, tuple[int, int]] = field(default_factory=dict)


def build_map_modules(cfg: CfgNode, shapes: Sequence[MapShape]) -> list[tuple[int, nn.Module]]:
    """Build the map modules of `MODEL.ATTENTION.STAGE<n>`.

    Args:
        cfg: the configuration.
        shapes: the feature map after each block of the stage.

    Returns:
        pairs (zero-based block it comes after, module), in the configured order.

    Raises:
        ConfigError: a module is unknown or not a map module, or the stage does not have the block.
    """
    last = len(shapes) - 1
    key = f"MODEL.ATTENTION.STAGE{shapes[last].stage}"
    modules = []
    for entry in cfg.MODEL.ATTENTION[key.rsplit(".")[-1]]:
        name, _, block = str(entry).partition("@")
        require_name(key, name, registered(ATTENTION_REGISTRY))
        if block and (not re.fullmatch(r"\d+", block) or int(block) > last):
            raise ConfigError(f"{key}: '{entry}' names a block that the stage does not have; it has 0 to {last}")
        after = int(block) if block else last
        modules.append((after, ATTENTION_REGISTRY.get(name).from_config(cfg, shapes[after])))
    return modules
