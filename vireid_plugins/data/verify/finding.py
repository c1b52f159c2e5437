"""A problem of a data set on disk."""

from typing import NamedTuple


class Finding(NamedTuple):
    """A file or folder, and its problem."""

    file: str
    problem: str

    def __str__(self) -> str:
        return f"{self.file}: {self.problem}"
