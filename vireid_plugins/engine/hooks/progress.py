"""How far a training is: a bar on a terminal; elsewhere, and in `log.txt`, a line now and then."""

import datetime
import logging
import sys
import time
import warnings
from typing import Any

import torch
from fastreid.engine.train_loop import HookBase
from tqdm import tqdm

from vireid_plugins.engine.screen import shows_a_bar
from vireid_plugins.escape import FILE_ONLY

logger = logging.getLogger("fastreid." + __name__)
# Seconds until the first line and between two lines, besides the one at the end of each epoch.
FIRST, PERIOD = 10.0, 60.0
BAR = "{desc} |{bar}| {percentage:.0f} %{postfix}"


class Progress(HookBase):
    """Shows loss, learning rate, images per second and the time left, with evaluations as long as those so far.

    Args:
        images: images per step of all processes, before views (`SOLVER.IMS_PER_BATCH`).
    """

    trainer: Any
    bar: Any = None

    def __init__(self, images: int) -> None:
        self.images = images
        self.due = 0.0
        # Seconds from the end of an epoch's last step to the next step.
        self.between: list[float] = []
        self.ended: float | None = None

    def before_train(self) -> None:
        """Open the bar at the run's current iteration."""
        self.due = time.monotonic() + FIRST
        if not shows_a_bar():
            return
        trainer = self.trainer
        self.bar = tqdm(total=trainer.max_iter, initial=trainer.start_iter, dynamic_ncols=True, bar_format=BAR)
        self.shown = warnings.showwarning
        warnings.showwarning = _above_the_bar

    def before_step(self) -> None:
        """Measure what came between two epochs."""
        if self.ended is not None:
            self.between.append(time.monotonic() - self.ended)
            self.ended = None

    def after_step(self) -> None:
        """Move the bar, or log a line if one is due."""
        if self.bar is not None:
            self.bar.set_description_str(self._epoch(), refresh=False)
            if self.bar.update():
                self.bar.set_postfix_str(self._facts(), refresh=False)
        elif time.monotonic() >= self.due and (self.trainer.storage.iter + 1) % self.trainer.iters_per_epoch:
            # After the last step of an epoch `after_epoch` does.
            self._log()

    def after_epoch(self) -> None:
        """Log a line, before the epoch is evaluated."""
        self._log()
        self.ended = time.monotonic()

    def after_train(self) -> None:
        """Leave the bar on the screen as it is."""
        if self.bar is not None:
            self.bar.close()
            self.bar = None
            warnings.showwarning = self.shown

    def _log(self) -> None:
        self.due = time.monotonic() + PERIOD
        trainer = self.trainer
        steps = trainer.iters_per_epoch
        # After an epoch the iteration is that of the next step.
        done = min(trainer.storage.iter + 1 - trainer.epoch * steps, steps)
        logger.info(
            "%s, step %d of %d: %s",
            *(self._epoch(), done, steps, self._facts(parts=True)),
            extra=FILE_ONLY if self.bar is not None else {},
        )

    def _epoch(self) -> str:
        return f"epoch {self.trainer.epoch + 1} of {self.trainer.max_epoch}"

    def _facts(self, parts: bool = False) -> str:
        """Return what is known by now, the losses one by one if `parts`."""
        trainer = self.trainer
        found = trainer.storage.latest()
        latest = {name: value for name, (value, _) in found.items()}
        facts = []
        if "total_loss" in latest:
            # Not the losses of an earlier phase (MODEL.LOSSES.EPOCHS).
            at = found["total_loss"][1]
            names = [name for name, (_, when) in found.items() if "loss" in name and when == at]
            each = [f"{name} {latest[name]:.4g}" for name in names if name != "total_loss"]
            facts.append(f"loss {latest['total_loss']:.4g}" + (f" ({', '.join(each)})" if parts and each else ""))
        if "lr" in latest:
            facts.append(f"lr {latest['lr']:.2e}")
        if "time" in latest:
            times = trainer.storage.history("time")
            left = times.median(1000) * (trainer.max_iter - trainer.storage.iter - 1)
            if self.between:
                epochs = trainer.max_epoch - trainer.epoch - (1 if self.ended is not None else 0)
                left += epochs * sum(self.between) / len(self.between)
            facts.append(f"{self.images / times.median(20):.0f} images/s")
            facts.append(f"{datetime.timedelta(seconds=round(left))} left")
        if parts and trainer.cfg.MODEL.DEVICE.startswith("cuda"):
            facts.append(f"{torch.cuda.max_memory_allocated() / 2**30:.1f} GiB")
        return ", ".join(facts)


def _above_the_bar(message: Any, category: Any, filename: str, lineno: int, file: Any = None, line: Any = None) -> None:
    """Show a warning of Python where it does not break the bar."""
    tqdm.write(warnings.formatwarning(message, category, filename, lineno, line), file=file or sys.stderr, end="")
