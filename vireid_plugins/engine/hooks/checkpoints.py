"""What a run saves after an epoch: all that resumes it, and weights of the best epoch and of the last."""

import logging
from pathlib import Path
from typing import Any

from fastreid.engine.hooks import PeriodicCheckpointer
from fastreid.utils.events import get_event_storage

from vireid_plugins.engine.checkpoint import VireidCheckpointer
from vireid_plugins.engine.run_files import BEST, FINAL, LAST, PERIODIC, STOPPED, epoch_file, modified
from vireid_plugins.io.files import for_writing

logger = logging.getLogger("fastreid." + __name__)


class Checkpoints(PeriodicCheckpointer):
    """fast-reid's hook, with the best metric stored in what resumes the run.

    `model_best` is saved by the evaluation that found it. A file has the score of its own epoch, or none. After the
    last epoch `model_final` is written after `last`: a run that dies in between writes it when it is resumed.

    Args:
        checkpointer: writes the files.
        period: epochs between two times that the run is saved.
        keep: number of epochs whose weights are kept besides, the last of those after which the run was saved.
    """

    best_metric: float
    trainer: Any

    def __init__(self, checkpointer: VireidCheckpointer, period: int, keep: int = 0) -> None:
        super().__init__(checkpointer, period)
        self.keep = keep
        # On the best score, after the last evaluation.
        self.said = ""

    def before_train(self) -> None:
        """Find out which score picks the best epoch, and when the run ends."""
        if self.trainer.cfg.DATASETS.TESTS:
            super().before_train()
        else:
            # fast-reid asks for the first test set; without one no score is recorded.
            self.max_epoch, self.metric_name = self.trainer.max_epoch, "metric"

    def after_epoch(self) -> None:
        """Save the run if that is due, and `model_best` if the epoch's evaluation is the best so far."""
        score = self._score()
        if score is not None and score > self.best_metric:
            self.best_metric = score
            self.checkpointer.save_weights(BEST, **self._position(), metric=score)
        if score is not None:
            self.said = self._best()
            logger.info("Epoch %d: metric %.2f; %s", self.trainer.epoch + 1, score, self.said)
        if not self.due():
            return
        position = self._position() | ({} if score is None else {"metric": score})
        self.checkpointer.save(LAST, **position)
        if self.trainer.epoch >= self.max_epoch - 1:
            self.checkpointer.save_weights(FINAL, **position)
        elif self.keep:
            self.checkpointer.save_weights(epoch_file(self.trainer.epoch), **position)
        self._delete_older()

    def save_unscored(self) -> None:
        """Save the run before the evaluation of an epoch."""
        self.checkpointer.save(LAST, **self._position(), unscored=True)

    def due(self) -> bool:
        """Return whether the run is saved after the epoch that has ended."""
        number = self.trainer.epoch + 1
        return bool(number % self.period == 0 or number >= self.max_epoch)

    def _position(self) -> dict[str, Any]:
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
