"""The errors a user is meant to read.

Each names the file, key or value that is wrong and what would be right. The command lines print them without a
traceback; everything else that is raised is a defect of this package.
"""


class UserError(Exception):
    """Something the user can put right: the message says what and how."""


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


class ExpectationError(UserError, AssertionError):
    """A run ended with other scores than `TEST.EXPECTED_RESULTS` says."""


class ExportError(UserError, RuntimeError):
    """An exported file does not compute what the method computes."""


class BenchmarkError(UserError, RuntimeError):
    """A run of a benchmark failed, or the file of its results is damaged."""
