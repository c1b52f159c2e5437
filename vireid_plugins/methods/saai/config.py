"""Configuration keys of SAAI (ICCV 2023; behavior of the repository xiaoye-hhh/SAAI)."""

from dataclasses import dataclass
from typing import ClassVar

from vireid_plugins.config.keys import declare
from vireid_plugins.modeling.part_baseline import PartOptions


@dataclass(frozen=True, kw_only=True)
class SAAIOptions(PartOptions):
    """`MODEL.SAAI`; see `PartOptions`."""

    node: ClassVar[str] = "MODEL.SAAI"

    parts: int = 7
    update_rate: float = 0.02


declare(SAAIOptions.node, SAAIOptions)
