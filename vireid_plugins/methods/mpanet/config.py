"""Configuration keys of MPANet (CVPR 2021; behavior of the repository DoubtedSteam/MPANet)."""

from dataclasses import dataclass

from vireid_plugins.config.keys import declare
from vireid_plugins.modeling.part_baseline import require_parts


@dataclass(frozen=True, kw_only=True)
class MPANetOptions:
    """`MODEL.MPANET`.

    Args:
        parts: n, number of pattern maps; 0 pools the whole feature map alone (ablation).
        mutual: with a classifier and a teacher for each modality (mutual mean learning).
        update_rate: share of a classifier's weights that its teacher takes at each step; it falls after 99 epochs.

    Raises:
        ConfigError: a number is out of range.
    """

    parts: int = 6
    mutual: bool = True
    update_rate: float = 0.2

    def __post_init__(self) -> None:
        require_parts("MODEL.MPANET", self.parts, self.update_rate)


declare("MODEL.MPANET", MPANetOptions)
