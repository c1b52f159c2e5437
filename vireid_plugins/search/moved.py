"""One spelling per path, and where to find files that have moved together with a gallery."""

import functools
import os
from pathlib import Path


def one_spelling(path: str | Path) -> str:
    """Return the absolute path of a file or folder, the same for every spelling of the folder that it is in.

    Links and `..` in the folder are resolved; the last name stays, so that a link to an image keeps its
    name.
    """
    path = os.fspath(path).rstrip(os.sep) or os.sep
    folder, name = os.path.split(path)
    return os.path.realpath(path) if name in ("", ".", "..") else str(Path(os.path.realpath(folder), name))


def is_folder(path: str | Path) -> bool:
    """Return whether a path leads to a folder; what may not be looked at does not."""
    return os.path.isdir(path)  # noqa: PTH112  Path.is_dir raises errors


def is_broken(path: str | Path) -> bool:
    """Return whether a path is a link that leads nowhere."""
    return os.path.lexists(path) and not os.path.exists(path)  # noqa: PTH110  Path.exists raises errors


class Moved:
    """Where files are now that were beside a gallery when it was written; false if it has not moved.

    Args:
        then: the gallery's folder when it was written.
        folder: its folder now.
    """

    def __init__(self, then: str, folder: Path) -> None:
        self.then, self.folder = then, os.path.realpath(folder)
        self.folder_of = functools.cache(self._folder_of)

    def __bool__(self) -> bool:
        return self.then != self.folder

    def file_of(self, path: str) -> str:
        """Return where a file is now; see `folder_of`."""
        folder, name = os.path.split(path)
        return str(Path(self.folder_of(folder), name))

    def _folder_of(self, path: str) -> str:
        """Return where a folder is now: where it was, unless only its place beside the gallery has a folder."""
        if not self or is_folder(path):
            return path
        beside = os.path.normpath(Path(self.folder, os.path.relpath(path, self.then)))
        return beside if is_folder(beside) else path
