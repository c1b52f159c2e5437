"""Periodic checkpoints, the best and the final one."""

from pathlib import Path
from typing import Any

from fastreid.engine.hooks import PeriodicCheckpointer

from vireid_plugins.engine.checkpoint import STOPPED, VireidCheckpointer


class Checkpoints(PeriodicCheckpointer):
    """fast-reid's hook, whose best metric survives a resume and stands in every checkpoint, the best one included.

    Args:
        checkpointer: writes.
        period: epochs between two checkpoints.
        keep: how many of them stay, beside the best and the final one; 0 is all.
    """

    best_metric: float

    def __init__(self, checkpointer: VireidCheckpointer, period: int, keep: int = 0) -> None:
        super().__init__(checkpointer, period)
        self.keep = keep

    def step(self, epoch: int, **kwargs: Any) -> None:
        """Save what is due after `epoch`, zero-based: `model_best` whenever an evaluation is better than all before.

        Args:
            epoch: the epoch that has ended.
            **kwargs: `metric`, the latest score of the set that chooses.
        """
        last = epoch >= self.max_epoch - 1
        steps = self.trainer.iters_per_epoch
        position = {"epoch": epoch, "iteration": (epoch + 1) * steps, "iters_per_epoch": steps}
        if kwargs["metric"] > self.best_metric:
            self.best_metric = kwargs["metric"]
            self.checkpointer.save("model_best", **position, **kwargs)
        if last or (epoch + 1) % self.period == 0:
            self.checkpointer.save("model_final" if last else f"model_{epoch:04d}", **position, **kwargs)
            self._forget_older()

    def _forget_older(self) -> None:
        folder = Path(self.checkpointer.save_dir)
        (folder / f"{STOPPED}.pth").unlink(missing_ok=True)
        older = sorted(folder.glob("model_[0-9][0-9][0-9][0-9]*.pth"), key=lambda file: file.stat().st_mtime_ns)
        for file in older[: -self.keep] if self.keep else []:
            file.unlink()

    def state_dict(self) -> dict[str, float]:
        """Return what is saved with every checkpoint."""
        return {"best_metric": float(self.best_metric)}

    def load_state_dict(self, state: dict[str, float]) -> None:
        """Take the best metric of the run that is resumed."""
        self.best_metric = state["best_metric"]
