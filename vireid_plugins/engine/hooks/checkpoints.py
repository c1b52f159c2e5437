"""Periodic checkpoints, the best one and the final one."""

from pathlib import Path
from typing import Any

from fastreid.engine.hooks import PeriodicCheckpointer

from vireid_plugins.engine.checkpoint import STOPPED, VireidCheckpointer, modified


class Checkpoints(PeriodicCheckpointer):
    """fast-reid's hook, with the best metric stored in every checkpoint, including the best, and restored on resume.

    Args:
        checkpointer: writes the checkpoints.
        period: epochs between two checkpoints.
        keep: number of periodic checkpoints to keep, besides the best and the final one; 0: all.
    """

    best_metric: float

    def __init__(self, checkpointer: VireidCheckpointer, period: int, keep: int = 0) -> None:
        super().__init__(checkpointer, period)
        self.keep = keep

    def step(self, epoch: int, **kwargs: Any) -> None:
        """Save the checkpoints due after an epoch, and `model_best` if its evaluation is the best so far.

        Args:
            epoch: the epoch that has ended, zero-based.
            **kwargs: `metric`, the latest score of the test set that picks the best epoch.
        """
        last = epoch >= self.max_epoch - 1
        steps = self.trainer.iters_per_epoch
        position = {"epoch": epoch, "iteration": (epoch + 1) * steps, "iters_per_epoch": steps}
        if kwargs["metric"] > self.best_metric:
            self.best_metric = kwargs["metric"]
            self.checkpointer.save("model_best", **position, **kwargs)
        if last or (epoch + 1) % self.period == 0:
            self.checkpointer.save("model_final" if last else f"model_{epoch:04d}", **position, **kwargs)
            self._delete_older()

    def _delete_older(self) -> None:
        folder = Path(self.checkpointer.save_dir)
        (folder / f"{STOPPED}.pth").unlink(missing_ok=True)
        periodic = sorted(folder.glob("model_[0-9][0-9][0-9][0-9]*.pth"), key=modified)
        for file in periodic[: -self.keep] if self.keep else []:
            file.unlink()

    def state_dict(self) -> dict[str, float]:
        """Return the state to save in a checkpoint."""
        return {"best_metric": float(self.best_metric)}

    def load_state_dict(self, state: dict[str, float]) -> None:
        """Restore the best metric of the resumed run."""
        self.best_metric = float(state["best_metric"])
