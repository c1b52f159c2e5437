"""The checkpoints in the folder of a run: their names, and which is the newest."""

import logging
import re
from pathlib import Path

from vireid_plugins.errors import DataError

logger = logging.getLogger("fastreid." + __name__)
# What resumes the run, written in place; the weights of its last epoch, and of the one with the best score.
LAST, FINAL, BEST = "last", "model_final", "model_best"
# Of earlier commits, when a signal ended a run and before an evaluation.
STOPPED = "model_stopped"
# The weights of an epoch, counted from 0; of earlier commits with all that resumes a run.
PERIODIC = re.compile(r"model_\d{4,}\.pth")


def epoch_file(epoch: int) -> str:
    """Return the name, without suffix, of the weights of an epoch, counted from 0."""
    return f"model_{epoch:04d}"


def newest_first(folder: Path) -> list[Path]:
    """Return the checkpoints of a run: first the one in `last_checkpoint`, then from the newest on."""
    try:
        last = last_checkpoint(folder)
    except DataError as error:
        logger.warning("%s; going by the dates of the checkpoints", error)
        last = None
    files = sorted(folder.glob("*.pth"), key=modified, reverse=True)
    return sorted(files, key=lambda file: file != last)


def modified(file: Path) -> int:
    """Return when a file was last changed, also if it is a link to nothing."""
    return file.lstat().st_mtime_ns if file.is_symlink() and not file.exists() else file.stat().st_mtime_ns


def last_checkpoint(folder: Path) -> Path | None:
    """Return the checkpoint that `last_checkpoint` in an output folder names, or None if there is no such file.

    Raises:
        DataError: it cannot be read, or its content is not the name of a file in the folder.
    """
    tag = folder / "last_checkpoint"
    if not tag.is_file():
        return None
    try:
        name = tag.read_text(encoding="utf-8").strip()
    except OSError as error:
        raise DataError(f"'{tag}' cannot be read: {error.strerror}; set MODEL.WEIGHTS") from None
    except ValueError:
        name = ""
    if not name or len(name) > 255 or Path(name).name != name or not name.isprintable():
        raise DataError(
            f"'{tag}' does not hold the name of a checkpoint in its folder; write it there, such as model_final.pth, "
            "or set MODEL.WEIGHTS"
        )
    return folder / name


def last_weights(folder: Path) -> Path | None:
    """Return what `last_checkpoint` does, or the final weights if the run has written them after that.

    Raises:
        DataError: see `last_checkpoint`.
    """
    last, final = last_checkpoint(folder), folder / f"{FINAL}.pth"
    if (
        last is not None
        and last.stem == LAST
        and final.is_file()
        and last.is_file()
        and modified(final) >= modified(last)
    ):
        return final
    return last
