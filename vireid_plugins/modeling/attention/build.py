"""The registry of attention modules and its reading from `MODEL.ATTENTION.STAGE1` .. `STAGE4`."""

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
are built by `from_config(cfg, shape)`, which reads their node and the `MapShape` of the place. The keyword-only
parameters of a class, such as `NonLocal`, are the keys of its node, `MODEL.ATTENTION.NON_LOCAL`.
Modules that relate several feature maps belong to their method, which builds and calls them; they are not registered.
"""


@dataclass(frozen=True)
class MapShape:
    """Where a map module stands.

    Attributes:
        stage: 1..4.
        channels: C of the map.
        to_last: stride from this map to the size of the last one, for both axes or height and width.
        sizes: height and width of the map by the key of the image's size, `INPUT.SIZE_TRAIN` and `INPUT.SIZE_TEST`.
    """

    stage: int
    channels: int
    to_last: int | tuple[int, int]
    sizes: Mapping[str, tuple[int, int]] = field(default_factory=dict)


def build_map_modules(cfg: CfgNode, places: Sequence[MapShape]) -> list[tuple[int, nn.Module]]:
    """Build what `MODEL.ATTENTION.STAGE<n>` asks for.

    Args:
        cfg: the configuration.
        places: after each block of the stage.

    Returns:
        pairs (zero-based block it comes after, module), in the configured order.

    Raises:
        ConfigError: an unknown module, or a block the stage does not have.
    """
    last = len(places) - 1
    key = f"MODEL.ATTENTION.STAGE{places[last].stage}"
    modules = []
    for entry in cfg.MODEL.ATTENTION[key.rsplit(".")[-1]]:
        name, _, block = entry.partition("@")
        require_name(key, name, registered(ATTENTION_REGISTRY))
        if block and (not re.fullmatch(r"\d+", block) or int(block) > last):
            raise ConfigError(f"{key}: '{entry}' names a block the stage does not have; it has 0 to {last}")
        after = int(block) if block else last
        modules.append((after, ATTENTION_REGISTRY.get(name).from_config(cfg, places[after])))
    return modules
