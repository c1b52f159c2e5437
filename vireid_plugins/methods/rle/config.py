"""Configuration keys of RLE's part network (NeurIPS 2024; behavior of the repository stone96123/RLE)."""

from dataclasses import dataclass

from vireid_plugins.config.keys import declare
from vireid_plugins.errors import ConfigError


@dataclass(frozen=True, kw_only=True)
class RLEOptions:
    """`MODEL.RLE`.

    Args:
        parts: number of horizontal stripes of the last feature map, besides the whole.
        last_stage: stage whose feature map is the last one, 1 to 4; the stages after it are left out (3 on RegDB).

    Raises:
        ConfigError: a number is out of range.
    """

    parts: int = 3
    last_stage: int = 4

    def __post_init__(self) -> None:
        if self.parts < 1:
            raise ConfigError(f"MODEL.RLE.PARTS: must be 1 or more, got {self.parts}")
        if not 1 <= self.last_stage <= 4:
            raise ConfigError(f"MODEL.RLE.LAST_STAGE: must be 1 to 4, got {self.last_stage}")


declare("MODEL.RLE", RLEOptions)
