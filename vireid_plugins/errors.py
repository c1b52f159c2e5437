"""The errors a user is meant to read.

Each names the file, key or value that is wrong and what would be right. The command lines print them without a
traceback; everything else that is raised is a defect of this package.
"""

from collections.abc import Iterable


class UserError(Exception):
    """Something the user can put right: the message says what and how.

    Attributes:
        exit_code: what a command line ends with.
    """

    exit_code = 1


class InstallError(UserError, ImportError):
    """A package is missing, of the wrong version or broken; the message ends with the command that mends it."""


class ConfigError(UserError, ValueError):
    """A key or value of the configuration is wrong; the message lists what exists."""


class DataError(UserError, RuntimeError):
    """A file of a data set is missing, malformed or does not fit the others; the message names it."""


class FeatureError(UserError, ValueError):
    """An array of features, or its list of image paths, cannot be scored."""


class LaunchError(UserError, RuntimeError):
    """A process of the run was killed; the message says which and by what."""


class LoaderError(UserError, RuntimeError):
    """A process that reads images has died or does not answer."""


class LossError(UserError, FloatingPointError):
    """A loss became infinite or NaN; the message names it and the images of the batch."""


class StoppedError(UserError):
    """A signal ended a run, which was saved and can go on.

    The exit code is the one that sysexits.h gives to "try again later".
    """

    exit_code = 75


class ExpectationError(UserError, AssertionError):
    """A run ended with other scores than `TEST.EXPECTED_RESULTS` says."""


class ExportError(UserError, RuntimeError):
    """An exported file does not compute what the method computes."""


def require_name(key: str, name: str, known: Iterable[str]) -> None:
    """Raise a `ConfigError` that lists `known` unless it holds `name`."""
    names = list(known)
    if name not in names:
        raise ConfigError(f"{key}: '{name}' does not exist; there are {', '.join(sorted(names))}")
