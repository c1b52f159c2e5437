"""Make text from elsewhere safe to show on a terminal and in a log.

A file name may hold any character but "/" and NUL. Raw, an escape sequence moves the cursor or hides text, a newline
forges a line, and a change of direction shows a name backward. They are shown as `\\x1b`, `\\n`, `\\u202e`. Imports
only the standard library, since errors use it.
"""

import logging
import re
from typing import Any

# C0, DEL, C1, marks that change direction or are invisible, separators of lines, halves of surrogate pairs.
_UNSAFE = re.compile("[\x00-\x1f\x7f-\x9f\u061c\u200b\u200e\u200f\u2028-\u202e\u2060-\u2069\ufeff\ud800-\udfff]")
_NAMES = {"\n": "\\n", "\r": "\\r", "\t": "\\t"}
# Sets colors; fast-reid's tables have them.
_COLOR = re.compile("\x1b\\[[0-9;]*m")
# Loggers of this package are below fast-reid's.
OURS = "fastreid.vireid_plugins"


def _shown(match: re.Match[str]) -> str:
    character = match[0]
    number = ord(character)
    return _NAMES.get(character) or (f"\\x{number:02x}" if number < 0x100 else f"\\u{number:04x}")


def escaped(text: object) -> str:
    """Return a text as one line without control characters."""
    return _UNSAFE.sub(_shown, str(text))


def as_utf8(text: str) -> str:
    """Return a text that UTF-8 can hold: bytes of a name that are none are written as `escaped` shows them."""
    return text.encode("utf-8", "backslashreplace").decode("utf-8")


def escaped_lines(text: object) -> str:
    """Return a text without control characters, but with its own lines and tabs."""
    return "\n".join("\t".join(map(escaped, line.split("\t"))) for line in str(text).split("\n"))


class Lines(str):
    """An argument of a log message that has several lines on purpose, such as a table."""

    # A command line imports this module twice, once before the package; so the class itself tells nothing.
    several = True


# `extra` of a log message that `log.txt` gets and the screen does not; a text there is shown instead of the message.
FILE_ONLY: dict[str, Any] = {"on_screen": None}


class EscapeFilter(logging.Filter):
    """Escapes log records. It belongs on handlers: a logger's filters do not see the records of its children.

    In this package's messages an argument is one line, unless it is `Lines`. Messages of others keep their lines, but
    every further line is indented, so that it cannot be taken for a record.
    """

    def filter(self, record: logging.LogRecord) -> bool:
        """Escape the record's message; it is always logged."""
        if getattr(record, "vireid_escaped", False):
            return True
        if record.name.startswith(OURS) and isinstance(record.args, tuple):
            record.args = tuple(_argument(value) for value in record.args)
        elif record.name.startswith(OURS):
            record.msg, record.args = escaped(record.getMessage()), ()
        else:
            first, *more = escaped_lines(_COLOR.sub("", record.getMessage())).split("\n")
            record.msg, record.args = "\n".join([first, *(f"  {line}" for line in more)]), ()
        record.vireid_escaped = True
        return True


def _argument(value: object) -> object:
    if getattr(value, "several", False):
        return escaped_lines(value)
    # Numbers stay numbers, for %d.
    return value if isinstance(value, int | float) else escaped(value)


def escape_logs() -> None:
    """Escape what fast-reid's log shows, and what is shown where no log is set up; to be called for new handlers."""
    last = [] if logging.lastResort is None else [logging.lastResort]
    for handler in (*logging.getLogger("fastreid").handlers, *last):
        if not any(isinstance(one, EscapeFilter) for one in handler.filters):
            handler.addFilter(EscapeFilter())
