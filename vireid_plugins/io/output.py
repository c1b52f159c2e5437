"""Standard output and error that never end a command: closed pipes, full disks, encodings without our characters.

Only the standard library is imported, as command lines use it before anything else.
"""

import codecs
import io
import os
import shutil
import sys
from contextlib import suppress
from typing import Any

# What the package prints besides ASCII; other characters are escaped.
_PLAIN = {"±": "+-", "\N{MULTIPLICATION SIGN}": "x", "→": "->", "\N{EN DASH}": "-", "—": "-", "…": "...", "█": "#"}
HANDLER = "vireid_plain"


class OutputFile(io.FileIO):
    """A stream of the process. Once it cannot be written, the rest goes nowhere and `failure` says why.

    A closed pipe is no failure: whoever read the output, such as `head`, has seen enough.
    """

    failure = ""

    def write(self, data: Any) -> int:
        """Write bytes, and return how many."""
        try:
            return super().write(data)
        except BrokenPipeError:
            self._discard()
        except OSError as error:
            self.failure = error.strerror or str(error)
            self._discard()
        return len(data)

    def _discard(self) -> None:
        """Point the descriptor elsewhere, so that what libraries and child processes write ends there too."""
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, self.fileno())
        os.close(nowhere)


def tolerant_streams() -> None:
    """Let this process's standard output and error take every character, and outlive their readers."""
    codecs.register_error(HANDLER, _plain)
    for number, name in enumerate(("stdout", "stderr"), start=1):
        stream = getattr(sys, name)
        if stream is None:
            setattr(sys, name, _nowhere(number))
            continue
        # By its name: command lines import this module apart from the package.
        if type(stream) is not io.TextIOWrapper or type(_raw(stream)).__name__ == OutputFile.__name__:
            continue
        with suppress(OSError):
            stream.flush()
        file: Any = OutputFile(stream.fileno(), "w", closefd=False)
        text = io.TextIOWrapper(
            file if stream.write_through else io.BufferedWriter(file),
            encoding=stream.encoding,
            errors=HANDLER,
            newline="\n" if os.linesep == "\n" else None,
            line_buffering=stream.line_buffering or name == "stderr",
            write_through=stream.write_through,
        )
        setattr(sys, name, text)


def _nowhere(number: int) -> Any:
    """Return a stream in place of one that whoever started the process has closed.

    It takes the descriptor too: the next file that is opened would get it, and with it what libraries print.
    """
    handle = os.open(os.devnull, os.O_WRONLY)
    if handle > number:
        try:
            os.fstat(number)
        except OSError:
            os.dup2(handle, number)
    return os.fdopen(handle, "w", encoding="utf-8")


def terminal_width() -> int | None:
    """Return the characters per line of the terminal that standard output is, or None if it is none."""
    if sys.stdout is None or not sys.stdout.isatty():
        return None
    return shutil.get_terminal_size().columns


def failure() -> str:
    """Return why standard output could not be written, or an empty string."""
    if sys.stdout is None:
        return ""
    sys.stdout.flush()
    reason: str = getattr(_raw(sys.stdout), "failure", "")
    return reason


def _raw(stream: Any) -> Any:
    """Return the file below a stream; with `python -u` there is no buffer between them."""
    buffer = getattr(stream, "buffer", None)
    return getattr(buffer, "raw", buffer)


def _plain(error: UnicodeError) -> tuple[str, int]:
    """Replace what an encoding lacks, for `codecs.register_error`."""
    if not isinstance(error, UnicodeEncodeError):
        raise error
    text = error.object[error.start : error.end]
    plain = "".join(_PLAIN.get(one) or one.encode("ascii", "backslashreplace").decode() for one in text)
    return plain, error.end
