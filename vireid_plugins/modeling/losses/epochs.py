"""Losses that are used in some epochs only (`MODEL.LOSSES.EPOCHS`), for methods in phases, such as PMT (AAAI 2023)."""

from collections.abc import Sequence
from typing import NamedTuple

from fastreid.config import CfgNode

from vireid_plugins.errors import ConfigError


class EpochRange(NamedTuple):
    """Epochs in which a loss is used, counted from 1; `last` 0 is the end of the run."""

    first: int
    last: int

    def has(self, epoch: int) -> bool:
        """Return whether an epoch, counted from 0 as the trainer does, is one of them."""
        return self.first <= epoch + 1 and (not self.last or epoch + 1 <= self.last)


def epoch_ranges(cfg: CfgNode) -> dict[str, EpochRange]:
    """Return the range of each loss in `MODEL.LOSSES.EPOCHS`; the others are always used.

    Raises:
        ConfigError: a row is malformed, names no loss of `MODEL.LOSSES.NAME` or one twice, or an epoch has no loss.
    """
    ranges: dict[str, EpochRange] = {}
    names = list(cfg.MODEL.LOSSES.NAME)
    for row in cfg.MODEL.LOSSES.EPOCHS:
        numbers = row[1:] if isinstance(row, Sequence) and len(row) == 3 else ()
        if not numbers or not all(type(n) is int for n in numbers) or row[1] < 1 or (row[2] and row[2] < row[1]):
            raise ConfigError(
                f"MODEL.LOSSES.EPOCHS: invalid row {row!r}; a row is [loss, first epoch, last epoch], counted from 1, "
                'such as ["HardTriplet", 7, 0], where 0 is the end of the run'
            )
        if row[0] not in names or row[0] in ranges:
            raise ConfigError(
                f"MODEL.LOSSES.EPOCHS: '{row[0]}' must be one of MODEL.LOSSES.NAME {names}, and have one row"
            )
        ranges[row[0]] = EpochRange(row[1], row[2])
    if set(names) == set(ranges):
        empty = [n + 1 for n in range(cfg.SOLVER.MAX_EPOCH) if not any(one.has(n) for one in ranges.values())]
        if empty:
            raise ConfigError(f"MODEL.LOSSES.EPOCHS: epoch {empty[0]} has no loss")
    return ranges


def idle_phases(cfg: CfgNode) -> list[str]:
    """Return which keys of phases have no effect in a run, a line for each; nothing is wrong with it."""
    last = cfg.SOLVER.MAX_EPOCH
    lines = []
    ranges = epoch_ranges(cfg) if cfg.MODEL.LOSSES.EPOCHS else {}
    if late := [f"{name} (epoch {one.first})" for name, one in ranges.items() if one.first > last]:
        lines.append(
            f"MODEL.LOSSES.EPOCHS: the run ends after {last} epochs (SOLVER.MAX_EPOCH), before these losses begin: "
            f"{', '.join(late)}"
        )
    first, views = cfg.INPUT.FIRST_EPOCHS, any(cfg.INPUT.FIRST_VIEWS.values())
    if views and not first:
        lines.append("INPUT.FIRST_VIEWS: no epoch has these views, since INPUT.FIRST_EPOCHS is 0")
    elif first and not views:
        lines.append(
            f"INPUT.FIRST_EPOCHS: the first {first} epochs should have their own views, but INPUT.FIRST_VIEWS has none"
        )
    elif last <= first:
        lines.append(
            f"INPUT.FIRST_EPOCHS: the run ends after {last} epochs (SOLVER.MAX_EPOCH), within the {first} that have "
            "INPUT.FIRST_VIEWS"
        )
    return lines
