"""fast-reid's writers, which after a resume go on as if nothing had happened."""

import json
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

from fastreid.engine.hooks import PeriodicWriter
from fastreid.utils.events import EventWriter, JSONWriter, TensorboardXWriter, get_event_storage

from vireid_plugins.config.renamed import LOGGED
from vireid_plugins.io.files import write_atomic

logger = logging.getLogger("fastreid." + __name__)
# Values of a scalar that fast-reid's writers smooth over.
WINDOW = 200
# Steps between two writings, as in fast-reid.
PERIOD = 200
# A resumed run measures them again.
CLOCK = ("time", "eta_seconds")


class Writers(PeriodicWriter):
    """Writes scalars to the log, `metrics.json` and tensorboard; remembers what a resumed run has to know of them.

    Args:
        build: makes the writers, which open their files, when the training begins.
        folder: the output folder.
    """

    trainer: Any

    def __init__(self, build: Callable[[], list[EventWriter]], folder: Path) -> None:
        super().__init__([], PERIOD)
        self.build, self.folder = build, folder
        self.resumed: dict[str, Any] = {}
        self.storage: Any = None

    def before_train(self) -> None:
        """Take the scalars of the resumed run up, and drop what was written after its checkpoint."""
        start, self.storage = self.trainer.start_iter, get_event_storage()
        drop_lines_from(self.folder / "metrics.json", self._first_unwritten(JSONWriter, start))
        self._writers = self.build()
        for number, writer in enumerate(self._writers):
            if isinstance(writer, TensorboardXWriter) and start:
                writer.close()
                self._writers[number] = TensorboardXWriter(
                    str(self.folder), purge_step=self._first_unwritten(TensorboardXWriter, start)
                )
        if self.resumed:
            _fill(self.storage, self.resumed["scalars"])
            for writer in self._writers:
                if hasattr(writer, "_last_write") and self.resumed["written"].get(type(writer).__name__) is not None:
                    writer._last_write = self.resumed["written"][type(writer).__name__]
            self.resumed = {}

    def _first_unwritten(self, kind: type[Any], start: int) -> int:
        """Return the first iteration that a writer had not written when the checkpoint was saved.

        That may be one before the checkpoint's: what is recorded once in a while is written later than it is measured.
        """
        last = self.resumed.get("written", {}).get(kind.__name__, start - 1)
        return min(start, int(last) + 1)

    def after_step(self) -> None:
        """Write where the period is reached, but for the last step of an epoch.

        That one is written with the epoch's evaluation: fast-reid's writers leave out what comes later to an iteration
        they have written.
        """
        if (self.trainer.iter + 1) % self.trainer.iters_per_epoch:
            super().after_step()

    def after_train(self) -> None:
        """Write the evaluation of a last epoch that `TEST.EVAL_PERIOD` does not reach, and close."""
        last = self.trainer.iter
        if last >= self.trainer.max_iter and any(at == last for _, at in self.storage.latest().values()):
            super().after_epoch()
        super().after_train()

    def state_dict(self) -> dict[str, Any]:
        """Return what is saved with every checkpoint."""
        if self.storage is None:
            return self.resumed
        storage = self.storage
        written = {type(writer).__name__: getattr(writer, "_last_write", None) for writer in self._writers}
        return {
            "scalars": {
                name: {
                    "values": [[float(value), int(at)] for value, at in history.values()[-WINDOW:]],
                    "count": history._count,
                    "average": float(history.global_avg()),
                    "smooth": bool(storage.smoothing_hints()[name]),
                }
                for name, history in storage.histories().items()
                if name not in CLOCK
            },
            "written": {name: last for name, last in written.items() if isinstance(last, int)},
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take the scalars of the run that is resumed; `before_train` uses them."""
        self.resumed = state


def drop_lines_from(file: Path, iteration: int) -> None:
    """Drop the lines of a `metrics.json` that are torn, or of this iteration or a later one."""
    if not file.is_file():
        return
    lines = file.read_text(encoding="utf-8", errors="replace").splitlines()
    kept = [line for line in lines if _iteration(line) < iteration]
    if len(kept) == len(lines):
        return
    logger.info("%d lines of %s are written again", len(lines) - len(kept), file)
    with write_atomic(file) as stream:
        stream.write("".join(f"{line}\n" for line in kept).encode())


def _iteration(line: str) -> float:
    try:
        return int(json.loads(line)["iteration"])
    except (ValueError, KeyError, TypeError):
        return float("inf")


def _fill(storage: Any, scalars: dict[str, Any]) -> None:
    """Give a storage the histories of another, by their names of today; fast-reid has no public way."""
    for logged, one in scalars.items():
        name = LOGGED.get(logged, logged)
        history = storage._history[name]
        history._data = [(value, at) for value, at in one["values"]]
        history._count, history._global_avg = one["count"], one["average"]
        storage._smoothing_hints[name] = one["smooth"]
        storage._latest_scalars[name] = history._data[-1]
