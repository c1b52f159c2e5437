"""Fit the schedule of a recipe to another number of epochs."""

from collections.abc import Collection
from typing import Any

from fastreid.config import CfgNode

EPOCHS = "SOLVER.MAX_EPOCH"


def fitted(cfg: CfgNode, epochs: int, given: Collection[str] = ()) -> list[str]:
    """Return the overrides that give a run another number of epochs, and stretch what its recipe counts by them.

    Milestones, warm-up and phases keep their shares of the run; what lasts at all lasts an epoch at least. Keys of
    losses that count steps stay.

    Args:
        cfg: the configuration.
        epochs: the number of epochs.
        given: keys that stay as they are.
    """
    share = epochs / cfg.SOLVER.MAX_EPOCH

    def part(count: int) -> int:
        return max(1, round(count * share)) if count > 0 else int(count)

    def phase(row: list[Any]) -> list[Any]:
        name, first, last = row
        return [name, part(first - 1) + 1, part(last)]

    values = {
        EPOCHS: epochs,
        "SOLVER.STEPS": [part(step) for step in cfg.SOLVER.STEPS],
        "SOLVER.DELAY_EPOCHS": part(cfg.SOLVER.DELAY_EPOCHS),
        "SOLVER.WARMUP_EPOCHS": part(cfg.SOLVER.WARMUP_EPOCHS),
        "SOLVER.WARMUP_ITERS": part(cfg.SOLVER.WARMUP_ITERS),
        "INPUT.FIRST_EPOCHS": part(cfg.INPUT.FIRST_EPOCHS),
        "MODEL.LOSSES.EPOCHS": [phase(list(row)) for row in cfg.MODEL.LOSSES.EPOCHS],
    }
    return [word for key, value in values.items() if key not in given for word in (key, str(value))]
