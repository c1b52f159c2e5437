"""What a run shows on the screen: one short line per message, apart from the progress bar."""

import logging
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from fastreid.utils import comm
from tqdm import tqdm

from vireid_plugins.escape import escape_logs, escaped_lines

ROOT = "fastreid"
# Messages of fast-reid that say in a run's words what is said better elsewhere; `log.txt` has them.
_OF_FASTREID = (
    *("fastreid.engine.hooks", "fastreid.engine.defaults", "fastreid.data.datasets.bases", "fastreid.utils.checkpoint"),
    "fastreid.evaluation.testing",
)
# Of fast-reid's evaluation only how far it is, every 30 s.
_EVALUATION, _PROGRESS = "fastreid.evaluation.evaluator", "Inference done"
# `extra` of a message that is shown even if the screen is quiet.
ALWAYS: dict[str, Any] = {"always": True}


class Screen(logging.Handler):
    """Shows messages on standard output, above the progress bar if there is one.

    A message whose `extra` has `on_screen` is shown as that text, or not at all if it is None (`FILE_ONLY`).

    Attributes:
        quiet: show only warnings, and messages with `ALWAYS`.
    """

    def __init__(self) -> None:
        super().__init__(logging.INFO)
        self.quiet = False

    def emit(self, record: logging.LogRecord) -> None:
        """Show a message; never raises."""
        try:
            if not self.shows(record):
                return
            text = escaped_lines(getattr(record, "on_screen", record.getMessage()))
            level = f"{record.levelname}: " if record.levelno >= logging.WARNING else ""
            clock = time.strftime("%H:%M:%S", time.localtime(record.created))
            tqdm.write(f"{clock} {level}{text}", file=sys.stdout)
            sys.stdout.flush()
        except Exception:
            self.handleError(record)

    def shows(self, record: logging.LogRecord) -> bool:
        """Return whether a message belongs on the screen."""
        if record.levelno >= logging.WARNING:
            return True
        if self.quiet:
            return bool(getattr(record, "always", False))
        if record.name.startswith(_OF_FASTREID):
            return False
        if record.name == _EVALUATION:
            return str(record.msg).startswith(_PROGRESS)
        return getattr(record, "on_screen", "") is not None


def show_on_screen(quiet: bool | None = None) -> None:
    """Show fast-reid's log, of which this package's is a part, on the screen of the main process.

    Args:
        quiet: see `Screen`; None leaves it, and also leaves a log that somebody else has set up.
    """
    log = logging.getLogger(ROOT)
    consoles = [handler for handler in log.handlers if type(handler.formatter).__name__ == "_ColorfulFormatter"]
    screen = screen_of_run()
    if quiet is None and not consoles and log.isEnabledFor(logging.INFO):
        return
    for handler in consoles:
        log.removeHandler(handler)
    log.setLevel(logging.DEBUG)
    log.propagate = False
    if screen is None and comm.is_main_process():
        screen = Screen()
        log.addHandler(screen)
    if screen is not None and quiet is not None:
        screen.quiet = quiet
    escape_logs()


@contextmanager
def quiet_screen() -> Iterator[None]:
    """Show only warnings inside a `with` block."""
    show_on_screen()
    screen = screen_of_run()
    before = screen.quiet if screen else False
    show_on_screen(quiet=True)
    try:
        yield
    finally:
        show_on_screen(quiet=before)


def screen_of_run() -> Screen | None:
    """Return the screen, if the log is shown."""
    return next((handler for handler in logging.getLogger(ROOT).handlers if isinstance(handler, Screen)), None)


def shows_a_bar() -> bool:
    """Return whether a progress bar can be shown: both streams are a terminal, since the log goes to the other one."""
    screen = screen_of_run()
    return screen is not None and not screen.quiet and sys.stdout.isatty() and sys.stderr.isatty()
