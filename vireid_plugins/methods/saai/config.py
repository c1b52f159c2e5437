"""Configuration keys of SAAI (ICCV 2023; behavior of the repository xiaoye-hhh/SAAI)."""

from dataclasses import dataclass

from vireid_plugins.config.keys import declare
from vireid_plugins.modeling.part_baseline import require_parts


@dataclass(frozen=True, kw_only=True)
class SAAIOptions:
    """`MODEL.SAAI`.

    Args:
        parts: n, number of prototypes; 0 pools the whole feature map alone (ablation).
        mutual: with a classifier and a teacher for each modality.
        update_rate: share of a classifier's weights that its teacher takes at each step; it falls after 99 epochs.

    Raises:
        ConfigError: a number is out of range.
    """

    parts: int = 7
    mutual: bool = True
    update_rate: float = 0.02

    def __post_init__(self) -> None:
        require_parts("MODEL.SAAI", self.parts, self.update_rate)


declare("MODEL.SAAI", SAAIOptions)
