"""Files that are written whole or not at all, and folders that can be written."""

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from vireid_plugins.errors import ConfigError

# What the operating system says when a place cannot be written, and no defect of ours.
_REFUSALS = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EACCES, errno.EPERM, errno.EIO}
_REFUSALS |= {errno.ENOTDIR, errno.EISDIR, errno.EEXIST, errno.ENOENT, errno.ENAMETOOLONG}


@contextmanager
def write_atomic(file: Path) -> Iterator[BinaryIO]:
    """Open a temporary file that replaces `file` once it is on the disk, and is removed when writing fails."""
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
    """Return what the system says if an error, or its cause, is that a file cannot be written; else nothing."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, OSError) and cause.errno in _REFUSALS:
            return cause.strerror or str(cause)
        cause = cause.__cause__ or cause.__context__
    return ""


def make_folder(folder: Path, key: str) -> None:
    """Make a folder and try to write to it.

    Args:
        folder: the folder.
        key: what set it, for the message.

    Raises:
        ConfigError: it cannot be made or written.
    """
    probe = folder / f".writable_{os.getpid()}"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        probe.touch()
        probe.unlink()
    except OSError as error:
        raise ConfigError(
            f"{key}: '{folder}' cannot be written: {refusal(error) or error}; name a folder that can"
        ) from None


@contextmanager
def for_writing(file: Path) -> Iterator[None]:
    """Make the folder of a file that is written inside a `with` block.

    Raises:
        ConfigError: it cannot be written.
    """
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        yield
    except OSError as error:
        if not refusal(error):
            raise
        raise ConfigError(f"'{file}' cannot be written: {refusal(error)}") from None
