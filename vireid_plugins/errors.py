"""Errors meant for the user.

Each names the file, key or value that is wrong and what would be right. The command lines print them without a
traceback; any other exception is a bug in this package.
"""

import difflib
from collections.abc import Iterable

from vireid_plugins.escape import escaped

# Longest line of a message, in characters.
MAX_LINE = 3000


class UserError(Exception):
    """A problem the user can fix; the message explains how.

    Args:
        lines: the message. Names in it may come from anywhere, so control characters are shown escaped; a message of
            several lines is given as several arguments.

    Attributes:
        exit_code: exit status of the command lines.
    """

    exit_code = 1

    def __init__(self, *lines: object) -> None:
        super().__init__(*lines)

    def __str__(self) -> str:
        return "\n".join(_shortened(escaped(line)) for line in self.args)


def _shortened(line: str) -> str:
    """Return a line, without its middle if it is very long: a library may quote a whole damaged file."""
    half = MAX_LINE // 2
    return line if len(line) <= MAX_LINE else f"{line[:half]} [{len(line) - 2 * half} characters] {line[-half:]}"


class InstallError(UserError, ImportError):
    """A package is missing, broken or of the wrong version; the message ends with the command that fixes it."""


class ConfigError(UserError, ValueError):
    """A key or value of the configuration is wrong; the message lists what is available."""


class DataError(UserError, RuntimeError):
    """A file of a data set is missing, malformed or inconsistent with the others; the message names it."""


class FeatureError(UserError, ValueError):
    """A feature array or its list of image paths cannot be scored."""


class LaunchError(UserError, RuntimeError):
    """A process of the run was killed; the message names the process and the signal."""


class LoaderError(UserError, RuntimeError):
    """A data-loader worker died or stopped responding."""


class LossError(UserError, FloatingPointError):
    """A loss became infinite or NaN; the message names it and the images of the batch."""


class OutOfMemoryError(UserError, RuntimeError):
    """A device or the host is out of memory; the message names the keys that lower the use."""


class StoppedError(UserError):
    """A signal stopped a run; a checkpoint was saved, so the run can be continued.

    The exit code is EX_TEMPFAIL of sysexits.h ("try again later").
    """

    exit_code = 75


class ExpectationError(UserError, AssertionError):
    """The scores of a run differ from `TEST.EXPECTED_RESULTS`."""


class ExportError(UserError, RuntimeError):
    """A method cannot be exported, or the exported file does not reproduce its features."""


def first_line(error: BaseException) -> str:
    """Return the first line of another package's error, or the name of its kind if it says nothing."""
    return next(iter(str(error).splitlines()), "") or type(error).__name__


def require_name(key: str, name: str, known: Iterable[str], also: str = "") -> None:
    """Raise a `ConfigError` listing the `known` names, followed by `also`, unless `name` is one of them."""
    names = list(known)
    if name not in names:
        listed = ", ".join(sorted(names)) or "none"
        raise ConfigError(f"{key}: unknown value '{name}'; available: {listed}{also}{meant(name, names)}")


def meant(name: str, known: Iterable[str], before: str = "") -> str:
    """Return a guess at the name that was meant, in parentheses, or an empty text.

    Args:
        name: what was given.
        known: the names that there are.
        before: what a name begins with in the guess.
    """
    by_lower = {one.lower(): one for one in known}
    close = difflib.get_close_matches(str(name).lower(), by_lower, n=1)
    return f" (did you mean '{before}{by_lower[close[0]]}'?)" if close else ""
