"""Whether a training has completed."""

import logging
from pathlib import Path

from vireid_plugins.engine.checkpoint import load_checkpoint
from vireid_plugins.engine.checkpoint_content import require_position
from vireid_plugins.engine.run_files import FINAL
from vireid_plugins.errors import DataError

logger = logging.getLogger("fastreid." + __name__)


def finished(folder: Path, epochs: int, scored: bool = True) -> bool:
    """Return whether a training has completed all epochs and scored the last: its final weights come after the scores.

    Final weights that cannot be read are no end: the training is resumed, which writes them again.

    Args:
        folder: its output folder.
        epochs: `SOLVER.MAX_EPOCH`.
        scored: whether it has a test set.
    """
    return (not scored or any(folder.glob("evaluation*.json"))) and has_final_weights(folder, epochs)


def has_final_weights(folder: Path, epochs: int) -> bool:
    """Return whether the folder of a run has whole final weights, of so many epochs at least."""
    final = folder / f"{FINAL}.pth"
    if not final.is_file():
        return False
    try:
        checkpoint = load_checkpoint(final)
        require_position(final, checkpoint)
    except DataError as error:
        logger.warning("%s", error)
        return False
    return int(checkpoint["epoch"]) + 1 >= epochs and not checkpoint.get("unscored")
