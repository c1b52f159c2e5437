"""Mean losses, read from the device and averaged over processes only every few steps."""

import logging
from collections.abc import Callable
from typing import Any

import torch
import torch.distributed as dist
from fastreid.engine.train_loop import HookBase
from fastreid.utils import comm
from fastreid.utils.events import get_event_storage
from torch import Tensor

from vireid_plugins.config.renamed import LOGGED
from vireid_plugins.engine.step import Losses, StepResult
from vireid_plugins.errors import LossError

logger = logging.getLogger("fastreid." + __name__)
# Number of images that a message lists.
SHOWN = 8


class StepMetrics(HookBase):
    """Keeps losses on their device and writes their means to fast-reid's storage.

    Means are written after the first step of a run, then every `period` steps and at the end of an epoch, before
    anything is evaluated or saved.

    Args:
        period: steps between two writes (`SOLVER.METRICS_PERIOD`).
        skips: number of steps with an infinite or NaN loss that may be skipped (`SOLVER.SKIP_NONFINITE`).
        last_good: returns a clause that names the last checkpoint; see `VireidCheckpointer.last_good`.
    """

    trainer: Any

    def __init__(
        self, period: int, skips: int = 0, last_good: Callable[[], str] = lambda: "there is no checkpoint yet"
    ) -> None:
        self.period, self.skips, self.last_good = period, skips, last_good
        self.first = True
        self.skipped = 0
        self._reset()

    def _reset(self) -> None:
        # Of the steps before a run was resumed; those since are in `recent` and summed when they are read.
        self.sums: Losses = {}
        # The sums of every process as they were captured; none if a step was taken since.
        self.processes: list[dict[str, Any]] = []
        self.steps = 0
        self.waited = 0.0
        # Iteration, losses on their device, and images of every step since the last write.
        self.recent: list[tuple[int, Losses, list[str]]] = []

    def before_train(self) -> None:
        """Rename the sums of a resumed run to the current names of the losses."""
        self.sums = {LOGGED.get(name, name): value for name, value in self.sums.items()}

    def record(self, step: StepResult) -> None:
        """Keep the losses of a step, or count the step if it was skipped.

        Raises:
            LossError: a loss since the last write was infinite or NaN, or too many steps were skipped; all processes
                raise it.
        """
        self.recent.append((self.trainer.iter, step.losses, step.batch["img_paths"]))
        self.processes = []
        if step.skipped:
            self._count_skipped()
            return
        self.steps += 1
        self.waited = max(self.waited, step.waited)
        if self.first or self.steps == self.period:
            self.first = False
            self.write()

    def write(self) -> None:
        """Write the means since the last write to fast-reid's storage."""
        if not self.steps:
            return
        names, means = self._means()
        *values, longest = means.tolist()
        named = dict(zip(names, values, strict=True))
        self._reset()
        storage = get_event_storage()
        storage.put_scalars(data_time=longest, total_loss=sum(values))
        if len(named) > 1:
            storage.put_scalars(**named)

    def _summed(self) -> tuple[list[str], Tensor]:
        """Return the names of the losses and their sums since the last write, on their device; a few calls in all."""
        steps = [losses for _, losses, _ in self.recent]
        names = list(dict.fromkeys(name for losses in (self.sums, *steps) for name in losses))
        resumed = [self.sums[name] for name in names if name in self.sums]
        if not steps:
            return names, torch.stack(resumed)
        absent = torch.zeros_like(next(iter(steps[0].values())))
        table = torch.stack([losses.get(name, absent) for losses in steps for name in names]).view(len(steps), -1)
        sums = (table.double() if table.device.type == "cpu" else table.float()).sum(0)
        if resumed:
            # A loss that had no sum yet comes after those that had one.
            sums[: len(resumed)] += torch.stack(resumed).to(sums.device)
        return names, sums

    def _means(self) -> tuple[list[str], Tensor]:
        """Return the names of the losses, and their means over all processes with the longest wait for a batch.

        Raises:
            LossError: a loss was infinite or NaN; all processes raise it.
        """
        names, sums = self._summed()
        means = sums / self.steps
        waited = torch.tensor(self.waited, dtype=means.dtype, device=means.device)
        if comm.get_world_size() > 1:
            dist.all_reduce(means)
            means /= comm.get_world_size()
            dist.all_reduce(waited, dist.ReduceOp.MAX)
        # On the host, read at once.
        read = torch.cat([means, waited[None]]).cpu()
        if not torch.isfinite(read[:-1]).all():
            raise LossError(self._nonfinite_loss())
        return names, read

    def _count_skipped(self) -> None:
        message = self._nonfinite_loss()
        if self.skipped == self.skips:
            raise LossError(f"{message} Already skipped {self.skipped} steps (SOLVER.SKIP_NONFINITE)")
        self.skipped += 1
        logger.warning("%s Skipped the step, %d of %d (SOLVER.SKIP_NONFINITE)", message, self.skipped, self.skips)
        self.recent.pop()

    def _nonfinite_loss(self) -> str:
        """Return a message with the first nonfinite loss, its iteration and its images; of all processes the same."""
        found = next(filter(None, comm.all_gather(self._own_nonfinite_loss())), None)
        # Finite losses may have an infinite sum.
        found = found or f"iteration {self.trainer.iter}: the losses are too large to be summed"
        return f"{found}. Lower SOLVER.BASE_LR or inspect the images; {self.last_good()}."

    def _own_nonfinite_loss(self) -> str:
        for iteration, losses, paths in self.recent:
            named = ", ".join(f"{name} is {value.item()}" for name, value in losses.items() if not value.isfinite())
            if named:
                images = ", ".join(dict.fromkeys(paths[:SHOWN]))
                more = f" and {len(paths) - SHOWN} more" if len(paths) > SHOWN else ""
                return f"iteration {iteration}: {named}, on a batch of {images}{more}"
        return ""

    def after_epoch(self) -> None:
        """Write the means of the last steps of the epoch."""
        self.write()

    def capture(self) -> None:
        """Capture the sums of every process; must be called by all processes before a run is saved within an epoch.

        Raises:
            LossError: a loss since the last write was infinite or NaN, so the weights are not to be saved.
        """
        if self.steps:
            self._means()
        self.processes = comm.gather(self._own())

    def _own(self) -> dict[str, Any]:
        names, values = self._summed() if self.steps else ([], torch.zeros(0))
        sums = dict(zip(names, values.cpu().unbind(), strict=True))
        return {"sums": sums, "steps": self.steps, "waited": self.waited}

    def state_dict(self) -> dict[str, Any]:
        """Return the state to save in a checkpoint; it has sums if a run is stopped between two writes."""
        own = self._own()
        # Those of the main process are also where earlier releases read them.
        return {"first": self.first, "skipped": self.skipped, **own, "processes": self.processes or [own]}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore the sums of the resumed run; with another number of processes each goes on with their mean."""
        self.first, self.skipped = state["first"], state["skipped"]
        saved = state.get("processes") or [state]
        if len(saved) == comm.get_world_size():
            own = saved[comm.get_rank()]
            self.sums, self.steps, self.waited = dict(own["sums"]), own["steps"], own["waited"]
            return
        self.steps, self.waited = saved[0]["steps"], max(one["waited"] for one in saved)
        self.sums = {name: sum(one["sums"][name] for one in saved) / len(saved) for name in saved[0]["sums"]}
