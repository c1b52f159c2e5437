"""Keys of DEEN (CVPR 2023; behavior of the repository ZYK100/LLCM)."""

from dataclasses import dataclass

from vireid_plugins.config.keys import declare
from vireid_plugins.errors import require_name


@dataclass(frozen=True, kw_only=True)
class DEENOptions:
    """`MODEL.DEEN`.

    Args:
        expand_after: the stage after which embeddings are expanded; the next one is the last. 3, or 2 on RegDB.
        pnl_fold: as released, the position block views C / 2 channels as C rows, which folds pairs of positions.
        dropout: dropout of the expanded feature maps.

    Raises:
        ConfigError: the expansion is to be after another stage.
    """

    expand_after: int = 3
    pnl_fold: bool = True
    dropout: float = 0.01

    def __post_init__(self) -> None:
        require_name("MODEL.DEEN.EXPAND_AFTER", str(self.expand_after), ("2", "3"))


declare("MODEL.DEEN", DEENOptions)
