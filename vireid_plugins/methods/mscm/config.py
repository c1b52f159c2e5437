"""Configuration keys of MSCMNet (Pattern Recognition 2025, arXiv 2311.14395)."""

from collections.abc import Sequence
from dataclasses import dataclass

from vireid_plugins.config.keys import declare
from vireid_plugins.errors import require_name

# Height of a feature map / height of that of stage 3; 0 relates stage 3 to itself.
SCALES = {"stem": 4, "stage1": 4, "stage2": 2, "stage3": 0}


@dataclass(frozen=True, kw_only=True)
class MSCMOptions:
    """`MODEL.MSCM`.

    Args:
        relate: for each ALB in order, the feature map that it relates to that of stage 3: "stem", "stage1", "stage2" or
            "stage3" (itself).
        tokens: number of channel tokens of an ALB.
        head_dim: dimension of an attention head; it must divide H * W of stage 3's feature map.
        residual: add an outer residual to each ALB.

    Raises:
        ConfigError: `relate` has an unknown name.
    """

    relate: Sequence[str] = ("stem", "stage1", "stage2", "stage3")
    tokens: int = 256
    head_dim: int = 9
    residual: bool = False

    def __post_init__(self) -> None:
        for name in self.relate:
            require_name("MODEL.MSCM.RELATE", name, SCALES)


declare("MODEL.MSCM", MSCMOptions)
