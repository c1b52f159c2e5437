"""Whether a training has completed."""

import logging
from pathlib import Path

from vireid_plugins.engine.checkpoint import FINAL, load_checkpoint
from vireid_plugins.engine.checkpoint_content import require_position
from vireid_plugins.errors import DataError

logger = logging.getLogger("fastreid." + __name__)


def finished(folder: Path, epochs: int) -> bool:
    """Return whether a training has completed all epochs; the final checkpoint is written again after the last scores.

    A final checkpoint that cannot be read is no end: the training is resumed, from an earlier one if there is one.

    Args:
        folder: its output folder.
        epochs: `SOLVER.MAX_EPOCH`.
    """
    final = folder / f"{FINAL}.pth"
    if not final.is_file() or not any(folder.glob("evaluation*.json")):
        return False
    try:
        checkpoint = load_checkpoint(final)
        require_position(final, checkpoint)
    except DataError as error:
        logger.warning("%s", error)
        return False
    return int(checkpoint["epoch"]) + 1 >= epochs and not checkpoint.get("unscored")
