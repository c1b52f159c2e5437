"""Means of the losses, read from the device and averaged over the processes only every few steps."""

import logging
from collections.abc import Callable
from typing import Any

import torch
import torch.distributed as dist
from fastreid.engine.train_loop import HookBase
from fastreid.utils import comm
from fastreid.utils.events import get_event_storage

from vireid_plugins.config.renamed import LOGGED
from vireid_plugins.engine.step import Losses, StepResult
from vireid_plugins.errors import LossError

logger = logging.getLogger("fastreid." + __name__)
# Images of a batch that a message names.
SHOWN = 8


class StepMetrics(HookBase):
    """Sums losses where they are and gives fast-reid's storage their means.

    They are written after the first step of a run, then every `period` steps and at the end of an epoch, before
    anything is evaluated or saved.

    Args:
        period: steps between two writings (`SOLVER.METRICS_PERIOD`).
        skips: how many steps whose loss is infinite or NaN may be left out (`SOLVER.SKIP_NONFINITE`).
        last_good: names the last checkpoint for messages.
    """

    trainer: Any

    def __init__(self, period: int, skips: int = 0, last_good: Callable[[], str] = str) -> None:
        self.period, self.skips, self.last_good = period, skips, last_good
        self.first = True
        self.skipped = 0
        self._forget()

    def _forget(self) -> None:
        self.sums: Losses = {}
        self.steps = 0
        self.waited = 0.0
        # Of every step since the last writing: the losses where they are, and the images.
        self.recent: list[tuple[int, Losses, list[str]]] = []

    def before_train(self) -> None:
        """Go on with the sums of a resumed run under the names that its losses have today."""
        self.sums = {LOGGED.get(name, name): value for name, value in self.sums.items()}

    def record(self, step: StepResult) -> None:
        """Add the losses of a step to the sums, or count it where it was skipped.

        Raises:
            LossError: a loss since the last writing was infinite or NaN, or one step more was skipped than may be; all
                processes raise it.
        """
        self.recent.append((self.trainer.iter, step.losses, step.batch["img_paths"]))
        if step.skipped:
            self._count_skipped()
            return
        for name, value in step.losses.items():
            here = value.double() if value.device.type == "cpu" else value.float()
            self.sums[name] = self.sums[name].to(here.device) + here if name in self.sums else here
        self.steps += 1
        self.waited = max(self.waited, step.waited)
        if self.first or self.steps == self.period:
            self.first = False
            self.write()

    def write(self) -> None:
        """Write what was added since the last writing."""
        if not self.steps:
            return
        means = torch.stack(list(self.sums.values())) / self.steps
        waited = torch.tensor(self.waited, dtype=means.dtype, device=means.device)
        if comm.get_world_size() > 1:
            dist.all_reduce(means)
            means /= comm.get_world_size()
            dist.all_reduce(waited, dist.ReduceOp.MAX)
        *values, longest = torch.cat([means, waited[None]]).tolist()
        if not torch.isfinite(means).all():
            raise LossError(self._found())
        named = dict(zip(self.sums, values, strict=True))
        self._forget()
        storage = get_event_storage()
        storage.put_scalars(data_time=longest, total_loss=sum(values))
        if len(named) > 1:
            storage.put_scalars(**named)

    def _count_skipped(self) -> None:
        said = self._found()
        if self.skipped == self.skips:
            raise LossError(f"{said} {self.skipped} steps were left out before it (SOLVER.SKIP_NONFINITE)")
        self.skipped += 1
        logger.warning("%s The step is left out, %d of %d (SOLVER.SKIP_NONFINITE)", said, self.skipped, self.skips)
        self.recent.pop()

    def _found(self) -> str:
        """Say which loss broke first, at which step and on which images."""
        for iteration, losses, paths in self.recent:
            named = ", ".join(f"{name} is {value.item()}" for name, value in losses.items() if not value.isfinite())
            if named:
                images = ", ".join(dict.fromkeys(paths[:SHOWN]))
                more = f" and {len(paths) - SHOWN} more" if len(paths) > SHOWN else ""
                return (
                    f"iteration {iteration}: {named}, on a batch of {images}{more}. Lower SOLVER.BASE_LR or look at "
                    f"the images; {self._good()}."
                )
        return f"a loss of another process is infinite or NaN at iteration {self.trainer.iter}; {self._good()}."

    def _good(self) -> str:
        last = self.last_good()
        return f"the last good checkpoint is '{last}'" if last else "there is no checkpoint yet"

    def after_epoch(self) -> None:
        """Write the rest of the epoch."""
        self.write()

    def state_dict(self) -> dict[str, Any]:
        """Return what is saved with every checkpoint; it is not empty where a run is stopped between two writings."""
        sums = {name: value.cpu() for name, value in self.sums.items()}
        return {"first": self.first, "skipped": self.skipped, "sums": sums, "steps": self.steps, "waited": self.waited}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take the sums of the run that is resumed."""
        self.first, self.skipped, self.steps, self.waited = (
            state[key] for key in ("first", "skipped", "steps", "waited")
        )
        self.sums = dict(state["sums"])
