"""The error of the benchmarks."""

from vireid_plugins.errors import UserError


class BenchmarkError(UserError, RuntimeError):
    """A run of a benchmark failed, or the file of its results is damaged."""
