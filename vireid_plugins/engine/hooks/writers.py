"""fast-reid's writers and loggers, continued without gaps or repeated lines after a resume."""

import importlib
import importlib.util
import json
import logging
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext, suppress
from functools import partial
from pathlib import Path
from typing import Any

from fastreid.engine.hooks import PeriodicWriter
from fastreid.utils.events import EventStorage, EventWriter, JSONWriter, TensorboardXWriter, get_event_storage

from vireid_plugins.config.renamed import LOGGED
from vireid_plugins.engine.hooks.logger_writer import LoggerWriter
from vireid_plugins.engine.run_log import require_log
from vireid_plugins.errors import DataError
from vireid_plugins.io.files import LineFile, cannot_write, json_text, naming, refusal, write_bytes
from vireid_plugins.io.json_file import parse_json
from vireid_plugins.io.regular import read_bytes

logger = logging.getLogger("fastreid." + __name__)
# Number of values of a scalar that fast-reid's writers smooth over.
WINDOW = 200
# Steps between two writes, as in fast-reid.
PERIOD = 200
# Scalars that are not saved, because a resumed run measures them itself.
CLOCK = ("time", "eta_seconds")


class Writers(PeriodicWriter):
    """Writes scalars to `metrics.json`, TensorBoard and loggers, and saves their history for a resume.

    Args:
        build: creates the writers, which open their files, at the start of training.
        folder: the output folder.
        foreign: whether they may be others than this package's, whose event files are opened with the first scalars.
    """

    trainer: Any

    def __init__(self, build: Callable[[], list[EventWriter]], folder: Path, foreign: bool = True) -> None:
        super().__init__([], PERIOD)
        self.build, self.folder, self.foreign = build, folder, foreign
        self.resumed: dict[str, Any] = {}
        self.storage: Any = None

    def before_train(self) -> None:
        """Restore the scalars of the resumed run, and drop what was written after its checkpoint."""
        start, self.storage = self.trainer.start_iter, get_event_storage()
        drop_lines_from(self.folder / "metrics.json", self._first_unwritten(JSONWriter, start))
        with _translated(self.folder), events_written_at_once() if self.foreign else nullcontext():
            self._writers = self.build()
            for number, writer in enumerate(self._writers):
                if isinstance(writer, TensorboardXWriter) and start:
                    writer.close()
                    self._writers[number] = events_writer(
                        self.folder, purge_step=self._first_unwritten(TensorboardXWriter, start)
                    )
                elif isinstance(writer, JSONWriter):
                    writer._file_handle = _StrictLines(writer._file_handle)
        if self.resumed:
            _fill(self.storage, self.resumed["scalars"])
            for writer in self._writers:
                if hasattr(writer, "_last_write") and self.resumed["written"].get(type(writer).__name__) is not None:
                    writer._last_write = self.resumed["written"][type(writer).__name__]
            self.resumed = {}

    def _first_unwritten(self, kind: type[Any], start: int) -> int:
        """Return the first iteration that a writer had not written when the checkpoint was saved.

        It may be before the checkpoint's iteration, because some scalars are written later than they are recorded.
        """
        last = self.resumed.get("written", {}).get(kind.__name__, start - 1)
        return min(start, int(last) + 1)

    def after_step(self) -> None:
        """Write if the period is reached, except after the last step of an epoch.

        That step is written together with the evaluation of the epoch, because fast-reid's writers ignore scalars that
        are added to an iteration they have already written.
        """
        if (self.trainer.iter + 1) % self.trainer.iters_per_epoch:
            with self._ending():
                super().after_step()

    def after_epoch(self) -> None:
        """Write the scalars of the epoch."""
        with self._ending():
            super().after_epoch()

    def after_train(self) -> None:
        """Close the writers."""
        with self._ending():
            for one in self._writers:
                if isinstance(one, LoggerWriter):
                    # The trainer's epoch is negative after a failure.
                    one.end(completed=self.trainer.epoch >= 0)
            super().after_train()

    @contextmanager
    def _ending(self) -> Iterator[None]:
        """Forget the writers if one of them cannot write: the run ends with that, and with nothing else.

        Raises:
            ConfigError: a file cannot be written, `log.txt` included.
        """
        try:
            with _translated(self.folder):
                yield
                require_log()
        except BaseException:
            for one in self._writers:
                if isinstance(one, LoggerWriter):
                    one.end(completed=False)
            self._writers = []
            raise

    def state_dict(self) -> dict[str, Any]:
        """Return the state to save in a checkpoint."""
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
        """Keep the scalars of the resumed run until `before_train`; what cannot be restored raises now."""
        if state:
            _fill(EventStorage(0), state["scalars"])
            for last in state["written"].values():
                int(last)
        self.resumed = state


@contextmanager
def _translated(folder: Path) -> Iterator[None]:
    """Name the file that a writer of fast-reid could not write; raise a `ConfigError`."""
    try:
        yield
    except OSError as error:
        if not refusal(error):
            raise
        raise cannot_write(os.fsdecode(error.filename or folder), error) from None


def events_writer(folder: Path, **arguments: Any) -> TensorboardXWriter:
    """Return fast-reid's writer for TensorBoard, which is imported with the first scalars, after many steps.

    Args:
        folder: the folder of its file.
        arguments: of torch's `SummaryWriter`.

    Raises:
        ImportError: TensorBoard is not installed.
    """
    if importlib.util.find_spec("tensorboard") is None:
        # Says what is missing, now.
        return TensorboardXWriter(str(folder), **arguments)
    return _LateEvents(str(folder), **arguments)


class _LateEvents(TensorboardXWriter):
    """fast-reid's writer for TensorBoard, whose file is opened when something is written."""

    def __init__(self, folder: str, **arguments: Any) -> None:
        self._open: Callable[[], TensorboardXWriter] = partial(TensorboardXWriter, folder, **arguments)
        self._last_write = -1

    def write(self) -> None:
        """Write the scalars."""
        if not hasattr(self, "_writer"):
            with events_written_at_once():
                opened = self._open()
            self._writer, self._window_size = opened._writer, opened._window_size
        super().write()


# The key of its state in checkpoints.
_LateEvents.__name__ = TensorboardXWriter.__name__


@contextmanager
def events_written_at_once() -> Iterator[None]:
    """Let TensorBoard's writers that are built inside a `with` block write in the thread that calls them.

    Its own thread prints a traceback if the disk is full, and tells nobody until the next write.
    """
    try:
        module: Any = importlib.import_module("tensorboard.summary.writer.event_file_writer")
    except ImportError:  # fast-reid's writer says what is missing
        yield
        return
    former = module._AsyncWriter
    module._AsyncWriter = _Writer
    try:
        yield
    finally:
        module._AsyncWriter = former


class _Writer:
    """Has the methods of TensorBoard's asynchronous writer, and writes at once."""

    def __init__(self, record_writer: Any, *_: object) -> None:
        self._records = record_writer
        name = getattr(getattr(record_writer, "_writer", None), "filename", b"events.out.tfevents")
        self._file = Path(os.fsdecode(name))

    def write(self, record: bytes) -> None:
        with naming(self._file):
            self._records.write(record)

    def flush(self) -> None:
        self._records.flush()

    def close(self) -> None:
        self._records.close()


class _StrictLines(LineFile):
    """What fast-reid's `JSONWriter` writes to: lines of strict JSON, each whole or not there.

    Args:
        replaced: the file that the writer has opened.
    """

    def __init__(self, replaced: Any) -> None:
        replaced.close()
        super().__init__(Path(replaced.name))

    def write(self, text: str) -> None:
        """Append a line."""
        with suppress(ValueError):  # other text comes from a writer of the user's own
            text = f"{json_text(json.loads(text))}\n"
        super().write(text)


def drop_lines_from(file: Path, iteration: int) -> None:
    """Drop the lines of a `metrics.json` that are torn, or that are of this iteration or a later one."""
    if not file.is_file():
        return
    try:
        lines = read_bytes(file).decode(errors="replace").splitlines()
    except OSError as error:
        raise DataError(f"'{file}' cannot be read: {error.strerror}; a resumed run goes on in it") from None
    kept = [line for line in lines if _iteration(line) < iteration]
    if len(kept) == len(lines):
        return
    logger.info("Dropped %d lines of %s, which the resumed run writes again", len(lines) - len(kept), file)
    write_bytes(file, "".join(f"{line}\n" for line in kept).encode())


def _iteration(line: str) -> float:
    try:
        return int(parse_json(line)["iteration"])
    except (ValueError, KeyError, TypeError, OverflowError):
        return float("inf")


def _fill(storage: Any, scalars: dict[str, Any]) -> None:
    """Restore saved histories in a storage, under current names; fast-reid has no public method for it."""
    for logged, saved in scalars.items():
        name = LOGGED.get(logged, logged)
        history = storage._history[name]
        history._data = [(value, at) for value, at in saved["values"]]
        history._count, history._global_avg = saved["count"], saved["average"]
        storage._smoothing_hints[name] = saved["smooth"]
        storage._latest_scalars[name] = history._data[-1]
