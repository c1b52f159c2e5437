"""Write files atomically, and check that folders are writable."""

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from vireid_plugins.errors import ConfigError

# Errors that mean a path is not writable, rather than a bug in this package.
_REFUSALS = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EACCES, errno.EPERM, errno.EIO}
_REFUSALS |= {errno.ENOTDIR, errno.EISDIR, errno.EEXIST, errno.ENOENT, errno.ENAMETOOLONG}


@contextmanager
def write_atomic(file: Path) -> Iterator[BinaryIO]:
    """Write `file` atomically: yield a stream to a temporary file that replaces it unless an error is raised."""
    partial = file.with_name(file.name + ".partial")
    try:
        with partial.open("wb") as stream:
            yield stream
            stream.flush()
            os.fsync(stream.fileno())
        partial.replace(file)
    except BaseException:
        partial.unlink(missing_ok=True)
        raise


def refusal(error: BaseException) -> str:
    """Return the system's message if the error or a cause of it means a path is not writable, else an empty string."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, OSError) and cause.errno in _REFUSALS:
            return cause.strerror or str(cause)
        cause = cause.__cause__ or cause.__context__
    return ""


def make_folder(folder: Path, key: str) -> None:
    """Create a folder and check that it is writable.

    Args:
        folder: the folder.
        key: name of the setting that it comes from, for the message.

    Raises:
        ConfigError: the folder cannot be created or is not writable.
    """
    probe = folder / f".writable_{os.getpid()}"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        probe.touch()
        probe.unlink()
    except OSError as error:
        raise ConfigError(
            f"{key}: '{folder}' cannot be written: {refusal(error) or error}; choose a writable folder"
        ) from None


@contextmanager
def for_writing(file: Path) -> Iterator[None]:
    """Create the folder of a file that is written inside a `with` block.

    Raises:
        ConfigError: the folder or the file cannot be written.
    """
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        yield
    except OSError as error:
        if not refusal(error):
            raise
        raise ConfigError(f"'{file}' cannot be written: {refusal(error)}") from None
