"""Open files for reading, and only files: a pipe would wait forever and a device never ends.

Everything that this package reads from a path that somebody else may have chosen goes through here.
"""

import errno
import hashlib
import os
import stat
from pathlib import Path
from typing import BinaryIO

# Far more than any list, configuration or note of this package.
MAX_TEXT = 256 * 2**20
_KINDS = (
    (stat.S_ISFIFO, "a pipe"),
    (stat.S_ISSOCK, "a socket"),
    (stat.S_ISCHR, "a device"),
    (stat.S_ISBLK, "a device"),
)


def require_regular(file: str | Path) -> None:
    """Raise an `OSError` unless a path leads to a regular file; it is not opened.

    Raises:
        OSError: it does not exist, or is a folder, a pipe, a socket or a device; `strerror` says which.
    """
    try:
        mode = os.stat(file).st_mode  # noqa: PTH116  `file` may be a string with bytes that are no text
    except ValueError as error:
        # A NUL in the path.
        raise OSError(errno.EINVAL, str(error), str(file)) from None
    if stat.S_ISREG(mode):
        return
    if stat.S_ISDIR(mode):
        raise IsADirectoryError(errno.EISDIR, "it is a folder, not a file", str(file))
    kind = next((name for is_kind, name in _KINDS if is_kind(mode)), "something else")
    raise OSError(errno.EINVAL, f"it is {kind}, not a regular file", str(file))


def open_regular(file: str | Path) -> BinaryIO:
    """Open a regular file for reading bytes.

    Raises:
        OSError: it cannot be opened, or is no regular file; see `require_regular`.
    """
    # Before it is opened, since opening a device may act on it, and after, since it may have been replaced.
    require_regular(file)
    descriptor = os.open(file, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0))
    stream = os.fdopen(descriptor, "rb")
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        stream.close()
        require_regular(file)
        raise OSError(errno.EAGAIN, "it was replaced while it was opened", str(file))
    return stream


def read_bytes(file: str | Path, limit: int = MAX_TEXT) -> bytes:
    """Return the content of a regular file.

    Args:
        file: the file.
        limit: largest number of bytes.

    Raises:
        OSError: it cannot be read, is no regular file, or is larger than the limit.
    """
    with open_regular(file) as stream:
        if os.fstat(stream.fileno()).st_size > limit:
            raise OSError(errno.EFBIG, f"it is larger than {limit:,} bytes", str(file))
        return stream.read()


def read_text(file: str | Path, limit: int = MAX_TEXT) -> str:
    """Return the text of a regular file in UTF-8, without a byte order mark.

    Args:
        file: the file.
        limit: largest number of bytes.

    Raises:
        OSError: see `read_bytes`.
        UnicodeDecodeError: it is not UTF-8.
    """
    return read_bytes(file, limit).decode("utf-8-sig")


def sha256_of(file: str | Path) -> str:
    """Return the SHA-256 of a regular file, in hexadecimal.

    Raises:
        OSError: it cannot be read, or is no regular file.
    """
    digest = hashlib.sha256()
    with open_regular(file) as stream:
        while block := stream.read(2**20):
            digest.update(block)
    return digest.hexdigest()


def wrong_download(start: bytes) -> str:
    """Return what a binary file is instead, if a download failed without a word; else an empty string.

    Args:
        start: its first bytes, at most all.
    """
    if not start:
        return "it is empty (0 bytes)"
    if start.lstrip(b"\xef\xbb\xbf \t\r\n").startswith(b"<"):
        return "it is a web page, not the file; take the raw file"
    if start.startswith(b"version https://git-lfs"):
        return "it is a Git LFS pointer, not the file; run git lfs pull"
    return ""
