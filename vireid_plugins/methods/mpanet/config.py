"""Configuration keys of MPANet (CVPR 2021; behavior of the repository DoubtedSteam/MPANet)."""

from dataclasses import dataclass
from typing import ClassVar

from vireid_plugins.config.keys import declare
from vireid_plugins.modeling.part_baseline import PartOptions


@dataclass(frozen=True, kw_only=True)
class MPANetOptions(PartOptions):
    """`MODEL.MPANET`; see `PartOptions`."""

    node: ClassVar[str] = "MODEL.MPANET"

    parts: int = 6
    update_rate: float = 0.2


declare(MPANetOptions.node, MPANetOptions)
