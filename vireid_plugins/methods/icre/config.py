"""Configuration keys of the design in the spirit of ICRE (arXiv 2512.04522)."""

from collections.abc import Sequence
from dataclasses import dataclass

from vireid_plugins.config.keys import declare
from vireid_plugins.errors import ConfigError, require_name

MAPS = ("stem", "stage1", "stage2", "stage3", "stage4")


@dataclass(frozen=True, kw_only=True)
class ICREOptions:
    """`MODEL.ICRE`.

    Args:
        stages: feature maps E that MPFR aggregates, from "stem", "stage1" .. "stage4".
        dim: d, width of F_id and of SDCE.
        heads: attention heads of SDCE.
        mask_softmax: compute the masks M_s by a softmax over the stages instead of a sigmoid each.
        fusion: fusion of the masked feature maps, "sum" or "concat".

    Raises:
        ConfigError: `stages` is empty or has an unknown name.
    """

    stages: Sequence[str] = ("stage1", "stage2", "stage3")
    dim: int = 512
    heads: int = 8
    mask_softmax: bool = False
    fusion: str = "sum"

    def __post_init__(self) -> None:
        if not self.stages:
            raise ConfigError(f"MODEL.ICRE.STAGES: needs at least one of {', '.join(MAPS)}")
        for name in self.stages:
            require_name("MODEL.ICRE.STAGES", name, MAPS)


declare("MODEL.ICRE", ICREOptions)
