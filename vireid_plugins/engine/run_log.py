"""The log of a run: `log.txt` in its output folder, and the screen."""

import logging
from pathlib import Path

from fastreid.utils import comm

from vireid_plugins.engine.screen import ROOT, show_on_screen
from vireid_plugins.errors import ConfigError
from vireid_plugins.escape import escape_logs
from vireid_plugins.io.files import LineFile


class LogFile(logging.Handler):
    """Appends the log to a file.

    Where the file exists, it belongs to an earlier run: lines are held back until `begin`, so that a run that is
    refused adds nothing. Once the file cannot be written, `failure` is the error; the log goes on elsewhere.

    A handler that is closed while it is attached opens its file again for the next line, as `logging.FileHandler` does:
    `logging.config.dictConfig` closes the handlers of all loggers, and `import pymilvus` calls it.

    Args:
        file: the file.

    Raises:
        ConfigError: the file cannot be opened.
    """

    def __init__(self, file: Path) -> None:
        super().__init__(logging.DEBUG)
        self.setFormatter(
            logging.Formatter("[%(asctime)s] %(name)s %(levelname)s: %(message)s", datefmt="%m/%d %H:%M:%S")
        )
        self.path = file
        self.failure: ConfigError | None = None
        self._held: list[str] | None = [] if file.exists() else None
        self._lines: LineFile | None = LineFile(file)
        if self._held is not None:
            self._lines.close()
            self._lines = None

    def begin(self) -> None:
        """Write what was held back, and from now on at once.

        Raises:
            ConfigError: the file cannot be opened or written.
        """
        if self._held is not None:
            for line in self._held:
                self._write(line)
            self._held = None

    def emit(self, record: logging.LogRecord) -> None:
        """Write a line or hold it back; never raises."""
        try:
            line = f"{self.format(record)}\n"
        except Exception:
            self.handleError(record)
            return
        if self._held is not None:
            self._held.append(line)
            return
        try:
            self._write(line)
        except ConfigError as error:
            self.failure = self.failure or error

    def close(self) -> None:
        """Close the file; a later line opens it again."""
        if self._lines is not None:
            self._lines.close()
            self._lines = None
        super().close()

    def _write(self, line: str) -> None:
        if self._lines is None:
            self._lines = LineFile(self.path)
        self._lines.write(line)


def open_log(folder: Path, quiet: bool = False) -> logging.Logger:
    """Return fast-reid's logger, which writes to the screen and to `log.txt` in a folder, there only.

    fast-reid's own set-up keeps every file that it ever opened, and reports a full disk as a traceback a line.

    Args:
        folder: the folder.
        quiet: show only warnings on the screen.

    Raises:
        ConfigError: the file cannot be opened.
    """
    log = logging.getLogger(ROOT)
    close_log()
    show_on_screen(quiet)
    log.addHandler(LogFile(folder / ("log.txt" if comm.is_main_process() else f"log.txt.rank{comm.get_rank()}")))
    escape_logs()
    return log


def begin_log() -> None:
    """Write the lines of a run that has not been refused to its `log.txt`, if one is open.

    Raises:
        ConfigError: the file cannot be written.
    """
    for file in _open_files():
        file.begin()


def require_log() -> None:
    """Raise the error of a `log.txt` that can no longer be written, if there is one."""
    for file in _open_files():
        if file.failure is not None:
            raise file.failure


def close_log() -> None:
    """Close the `log.txt` of the last run."""
    for file in _open_files():
        logging.getLogger(ROOT).removeHandler(file)
        file.close()


def _open_files() -> list[LogFile]:
    return [handler for handler in logging.getLogger(ROOT).handlers if isinstance(handler, LogFile)]
