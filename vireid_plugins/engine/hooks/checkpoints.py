"""Periodic checkpoints, the best one and the final one."""

import logging
import re
from pathlib import Path
from typing import Any

from fastreid.engine.hooks import PeriodicCheckpointer
from fastreid.utils.events import get_event_storage

from vireid_plugins.engine.checkpoint import BEST, FINAL, STOPPED, VireidCheckpointer, modified
from vireid_plugins.io.files import for_writing

logger = logging.getLogger("fastreid." + __name__)
PERIODIC = re.compile(r"model_\d{4,}\.pth")


class Checkpoints(PeriodicCheckpointer):
    """fast-reid's hook, with the best metric stored in every checkpoint, including the best, and restored on resume.

    `model_best` is saved by the evaluation that found it. A checkpoint has the score of its own epoch, or none.

    Args:
        checkpointer: writes the checkpoints.
        period: epochs between two checkpoints.
        keep: number of periodic checkpoints to keep, besides the best and the final one; 0: all.
    """

    best_metric: float
    trainer: Any

    def __init__(self, checkpointer: VireidCheckpointer, period: int, keep: int = 0) -> None:
        super().__init__(checkpointer, period)
        self.keep = keep
        # On the best score, after the last evaluation.
        self.said = ""

    def after_epoch(self) -> None:
        """Save the checkpoints due after an epoch, and `model_best` if its evaluation is the best so far."""
        score = self._score()
        if score is not None and score > self.best_metric:
            self.best_metric = score
            self.checkpointer.save(BEST, **self._position(), metric=score)
        if score is not None:
            self.said = self._best()
            logger.info("Epoch %d: metric %.2f; %s", self.trainer.epoch + 1, score, self.said)
        if self.due():
            self.checkpointer.save(self.name(), **self._position(), **({} if score is None else {"metric": score}))
            self._delete_older()

    def save_unscored(self) -> None:
        """Save the run before the evaluation of an epoch: as the epoch's checkpoint, if one is due."""
        self.checkpointer.save(self.name() if self.due() else STOPPED, **self._position(), unscored=True)

    def due(self) -> bool:
        """Return whether the epoch that has ended gets a checkpoint."""
        number = self.trainer.epoch + 1
        return bool(number % self.period == 0 or number >= self.max_epoch)

    def name(self) -> str:
        """Return the name of the checkpoint of the epoch that has ended."""
        epoch = self.trainer.epoch
        return FINAL if epoch >= self.max_epoch - 1 else f"model_{epoch:04d}"

    def _position(self) -> dict[str, int]:
        epoch, steps = self.trainer.epoch, self.trainer.iters_per_epoch
        return {"epoch": epoch, "iteration": (epoch + 1) * steps, "iters_per_epoch": steps}

    def _score(self) -> float | None:
        """Return the score of the epoch that has ended on the set that picks the best; None: it was not scored."""
        storage = get_event_storage()
        score, at = storage.latest().get(self.metric_name, (None, -1))
        return float(score) if score is not None and at == storage.iter else None

    def _best(self) -> str:
        """Return a clause on the best score so far: its epoch, and the set on which it was chosen."""
        history: Any = get_event_storage().histories().get(self.metric_name)
        found = [at for value, at in history.values() if value == self.best_metric] if history else []
        # A resumed run knows the last evaluations alone.
        epoch = f" of epoch {found[0] // self.trainer.iters_per_epoch + 1}" if found else ""
        return f"best so far {self.best_metric:.2f}{epoch}, chosen on {self.checkpointer.chosen_on}"

    def _delete_older(self) -> None:
        folder = Path(self.checkpointer.save_dir)
        # Not copies that somebody keeps, such as model_0009_paper.pth.
        periodic = sorted((file for file in folder.glob("model_*.pth") if PERIODIC.fullmatch(file.name)), key=modified)
        for file in [folder / f"{STOPPED}.pth", *(periodic[: -self.keep] if self.keep else [])]:
            with for_writing(file):
                file.unlink(missing_ok=True)

    def state_dict(self) -> dict[str, float]:
        """Return the state to save in a checkpoint."""
        return {"best_metric": float(self.best_metric)}

    def load_state_dict(self, state: dict[str, float]) -> None:
        """Restore the best metric of the resumed run."""
        self.best_metric = float(state["best_metric"])
