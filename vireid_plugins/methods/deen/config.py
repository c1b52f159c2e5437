"""Configuration keys of DEEN (CVPR 2023; behavior of the repository ZYK100/LLCM)."""

from dataclasses import dataclass

from vireid_plugins.config.keys import declare
from vireid_plugins.errors import require_name


@dataclass(frozen=True, kw_only=True)
class DEENOptions:
    """`MODEL.DEEN`.

    Args:
        expand_after: stage after which embeddings are expanded, 3, or 2 on RegDB; the next stage is the last.
        pnl_fold: view the C / 2 channels of the position block as C rows, which folds pairs of positions (released
            code).
        dropout: dropout probability of the expanded feature maps.

    Raises:
        ConfigError: `expand_after` is neither 2 nor 3.
    """

    expand_after: int = 3
    pnl_fold: bool = True
    dropout: float = 0.01

    def __post_init__(self) -> None:
        require_name("MODEL.DEEN.EXPAND_AFTER", str(self.expand_after), ("2", "3"))


declare("MODEL.DEEN", DEENOptions)
