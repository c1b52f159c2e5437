"""Write files atomically, and say in one message why a file cannot be written.

Every file that this package writes comes from here (`tests/io/test_writers.py` walks the source). Only the standard
library is imported: command lines use it too.
"""

import errno
import glob
import hashlib
import itertools
import json
import math
import os
import re
import secrets
import shutil
import stat
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, BinaryIO

from vireid_plugins.errors import ConfigError, UserError

try:
    import fcntl
except ImportError:  # Windows, where a file that somebody has open cannot be removed anyway
    fcntl = None  # type: ignore[assignment]

# Errors that mean a path is not writable, rather than a bug in this package.
_REFUSALS = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EACCES, errno.EPERM, errno.EIO, errno.EBUSY}
_REFUSALS |= {errno.ENOTDIR, errno.EISDIR, errno.EEXIST, errno.ENOENT, errno.ENAMETOOLONG, errno.ELOOP, errno.ENXIO}
_REFUSALS |= {errno.ESTALE, errno.ENOTEMPTY, errno.ETXTBSY, errno.EMFILE, errno.ENFILE, errno.EINVAL}
# Names of a process's own streams: to open one is to write to the stream, not to replace a file.
_STREAMS = ("/dev/fd/", "/dev/std", "/proc/")
PARTIAL = ".partial"


def refusal(error: BaseException) -> str:
    """Return the system's message if the error or a cause of it means a path is not writable, else an empty string."""
    cause = _refusing(error)
    return (cause.strerror or str(cause)) if cause else ""


def _refusing(error: BaseException) -> OSError | None:
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, OSError) and cause.errno in _REFUSALS:
            return cause
        cause = cause.__cause__ or cause.__context__
    return None


def cannot_write(file: Path | str, error: BaseException) -> ConfigError:
    """Return the error for the user: the file, and the system's reason."""
    return ConfigError(f"'{file}' cannot be written: {refusal(error) or error}")


@contextmanager
def for_writing(file: Path) -> Iterator[None]:
    """Create the folder of a file that is written inside a `with` block.

    Raises:
        ConfigError: the folder or the file cannot be written.
    """
    try:
        _make(file.parent)
        yield
    except (OSError, RuntimeError) as error:  # torch reports a failed write as a RuntimeError
        if isinstance(error, UserError) or not refusal(error):
            raise
        raise cannot_write(file, error) from None


@contextmanager
def write_atomic(file: Path) -> Iterator[BinaryIO]:
    """Write `file` atomically: yield a stream to a temporary file that replaces it unless an error is raised.

    A link stays a link, and the file that it points to is replaced; an existing file keeps its permissions. What is no
    regular file, such as `/dev/stdout`, is written directly.

    Raises:
        ConfigError: the file or its folder cannot be written; an existing file is unchanged.
    """
    with for_writing(file):
        if _is_stream(file):
            with _opened_stream(file) as stream:
                yield stream
            return
        target = _replaceable(file)
        partial, handle = _new_partial(target)
        try:
            with os.fdopen(handle, "wb") as stream:
                yield stream
                stream.flush()
                os.fsync(stream.fileno())
                _keep_permissions(target, partial)
                # Before the file is closed: that gives up the lock by which others see that this process is alive.
                if fcntl is not None:
                    partial.replace(target)
            if fcntl is None:
                partial.replace(target)
        except BaseException:
            partial.unlink(missing_ok=True)
            raise


@contextmanager
def write_by_name(file: Path) -> Iterator[Path]:
    """Yield a path of the same name in a temporary folder, for libraries that open files themselves.

    What they have written there replaces `file` at the end of the `with` block, unless an error is raised.

    Raises:
        ConfigError: the file or its folder cannot be written; an existing file is unchanged.
    """
    with for_writing(file):
        target = _replaceable(file)
        with _partial_folder(target) as folder:
            written = folder / target.name
            yield written
            with written.open("rb+") as stream:
                os.fsync(stream.fileno())
            _keep_permissions(target, written)
            written.replace(target)


@contextmanager
def write_folder(folder: Path) -> Iterator[Path]:
    """Yield a new folder that replaces `folder`, with everything in it, unless an error is raised.

    Raises:
        ConfigError: the folder cannot be written; a former one is unchanged.
    """
    with for_writing(folder):
        target = Path(os.path.realpath(folder))
        _make(target.parent)
        _restore(target)
        with _partial_folder(target) as place:
            fresh = place / "new"
            fresh.mkdir()
            try:
                yield fresh
            except OSError as error:
                if error.filename is None or not refusal(error):
                    raise
                # By the name that the file would have had.
                raise cannot_write(str(error.filename).replace(str(fresh), str(folder)), error) from None
            except ConfigError as error:
                raise type(error)(str(error).replace(str(fresh), str(folder))) from None
            if target.exists():
                target.rename(place / "former")
            fresh.rename(target)


@contextmanager
def naming(file: Path) -> Iterator[None]:
    """Add the name of a file to an OSError of a `with` block that does not say which file it is about."""
    try:
        yield
    except OSError as error:
        if error.filename is None:
            error.filename = str(file)
        raise


def write_bytes(file: Path, content: bytes) -> None:
    """Write a file atomically.

    Raises:
        ConfigError: the file or its folder cannot be written; an existing file is unchanged.
    """
    with write_atomic(file) as stream:
        stream.write(content)


def overwrite(file: Path, position: int, content: bytes) -> None:
    """Overwrite a part of an existing file, which is not atomic: its reader has to notice what is torn.

    Raises:
        OSError: it cannot be written.
    """
    with file.open("rb+", buffering=0) as stream:
        stream.seek(position)
        left = memoryview(content)
        while left:
            left = left[stream.write(left) :]


def write_json(file: Path, value: Any) -> None:
    """Write a value as strict JSON, see `json_text`.

    Raises:
        ConfigError: the file or its folder cannot be written; an existing file is unchanged.
    """
    write_bytes(file, json_text(value, indent=1).encode() + b"\n")


def json_text(value: Any, indent: int | None = None) -> str:
    """Return JSON that every parser reads: numbers that are not finite become null, which Python would write as NaN."""
    return json.dumps(_finite(value), indent=indent, allow_nan=False)


def _finite(value: Any) -> Any:
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {key: _finite(one) for key, one in value.items()}
    return [_finite(one) for one in value] if isinstance(value, list | tuple) else value


def write_or_keep(file: Path, write: Callable[[Path], object]) -> None:
    """Write a result that took long to compute; where that fails, write it to the system's temporary folder.

    Args:
        file: the file or folder to write.
        write: writes to the path that it is given; raises a `ConfigError` where that cannot be written.

    Raises:
        ConfigError: the file cannot be written; the message says where the result is kept.
    """
    try:
        write(file)
    except ConfigError as error:
        try:
            kept = Path(tempfile.mkdtemp(prefix="vireid_")) / file.name
        except OSError:
            raise error from None
        try:
            write(kept)
        except ConfigError:
            shutil.rmtree(kept.parent, ignore_errors=True)
            raise error from None
        raise ConfigError(f"{error}; the result is kept as '{kept}'") from None


def set_aside(file: Path) -> None:
    """Rename a file, if there is one, to the first free of `NAME.1.txt`, `NAME.2.txt`, ...

    Raises:
        ConfigError: it cannot be renamed.
    """
    if file.exists():
        names = (file.with_name(f"{file.stem}.{number}{file.suffix}") for number in itertools.count(1))
        with for_writing(file):
            file.rename(next(name for name in names if not name.exists()))


class LineFile:
    """A text file to which lines are appended; a failed write leaves no torn line and no buffer.

    Args:
        file: the file, created if missing.

    Raises:
        ConfigError: the file cannot be opened.
    """

    def __init__(self, file: Path) -> None:
        self.file = file
        with for_writing(file):
            # Without O_NONBLOCK, a pipe that nobody reads would be waited for.
            extra = getattr(os, "O_BINARY", 0) | getattr(os, "O_NONBLOCK", 0)
            self._handle = os.open(file, os.O_WRONLY | os.O_APPEND | os.O_CREAT | extra, 0o666)

    def write(self, text: str) -> None:
        """Append text, whole or not at all.

        Raises:
            ConfigError: it cannot be written.
        """
        data = text.encode(errors="backslashreplace")
        size: int | None = None
        try:
            size = os.fstat(self._handle).st_size
            while data:
                data = data[os.write(self._handle, data) :]
        except OSError as error:
            if size is not None:
                with suppress(OSError):
                    os.ftruncate(self._handle, size)
            raise cannot_write(self.file, error) from None

    def flush(self) -> None:
        """Do nothing: every line is written at once."""

    def fileno(self) -> int:
        """Return the descriptor."""
        return self._handle

    def close(self) -> None:
        """Close the file; again, do nothing."""
        if self._handle >= 0:
            handle, self._handle = self._handle, -1
            with suppress(OSError):
                os.close(handle)


def make_folder(folder: Path, key: str) -> None:
    """Create a folder and check that it is writable.

    Args:
        folder: the folder.
        key: name of the setting that it comes from, for the message.

    Raises:
        ConfigError: the folder cannot be created or is not writable.
    """
    with _for_folder(folder, key):
        _make(folder)
        _probe(folder)


def require_writable(folder: Path, key: str) -> None:
    """Raise what `make_folder` would, without creating the folder."""
    with _for_folder(folder, key):
        _probe(next((place for place in (folder, *folder.absolute().parents) if os.path.lexists(place)), folder))


@contextmanager
def _for_folder(folder: Path, key: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise ConfigError(
            f"{key}: '{folder}' cannot be written: {refusal(error) or error}; choose a writable folder"
        ) from None


def _probe(folder: Path) -> None:
    handle, probe = tempfile.mkstemp(prefix=".writable_", dir=folder)
    os.close(handle)
    Path(probe).unlink()


def sync_folder(folder: Path) -> None:
    """Return when the names in a folder are on the disk, where a system can tell."""
    with suppress(OSError):
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def remove_stale(folder: Path, name: str = "") -> list[Path]:
    """Remove what killed writers have left in a folder, and return it. What a living process writes stays.

    Args:
        folder: the folder.
        name: of the file whose writers are meant; by default everybody's.
    """
    removed = []
    # Eight digits tell our files from those of other programs; earlier releases wrote checkpoints without them.
    ours = re.escape(_stem(name)) if name else ".+"
    pattern = rf"{ours}\.[0-9a-f]{{8}}\.partial|model_(\d{{4,}}|best|final|stopped)\.pth\.partial"
    with suppress(OSError):
        for path in [Path(entry.path) for entry in os.scandir(folder) if re.fullmatch(pattern, entry.name)]:
            if _remove_unlocked(path):
                removed.append(path)
    return removed


def _make(folder: Path) -> None:
    """Create a folder and those above it; a file in the way is "Not a directory", not "File exists"."""
    if "\0" in str(folder):
        raise OSError(errno.EINVAL, "a path cannot contain a NUL character")
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except FileExistsError:
        raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), str(folder)) from None


def _is_stream(file: Path) -> bool:
    """Return whether a path is a device, a pipe or a stream of this process."""
    if str(file.absolute()).startswith(_STREAMS):
        return file.exists()
    return file.exists() and not (file.is_file() or file.is_dir())


def _opened_stream(file: Path) -> BinaryIO:
    """Open a device or a pipe, without waiting for a reader that may never come."""
    handle = os.open(file, os.O_WRONLY | os.O_APPEND | getattr(os, "O_NONBLOCK", 0))
    os.set_blocking(handle, True)
    return os.fdopen(handle, "wb")


def _replaceable(file: Path) -> Path:
    """Return the file behind a path and its links, and make its folder.

    Raises:
        OSError: it must not be replaced.
    """
    target = Path(os.path.realpath(file))
    if target.is_symlink():
        raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), str(file))
    _make(target.parent)
    if target.is_dir():
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(file))
    # A rename would also replace a file that its owner has protected.
    if target.exists() and not os.access(target, os.W_OK):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(file))
    return target


def _keep_permissions(target: Path, partial: Path) -> None:
    """Give a new file the permissions and, where allowed, the owner of the file that it replaces."""
    try:
        former = target.stat()
    except OSError:
        return
    with suppress(OSError):
        if hasattr(os, "chown") and (former.st_uid, former.st_gid) != (os.geteuid(), os.getegid()):
            os.chown(partial, former.st_uid, former.st_gid)
    with suppress(OSError):
        partial.chmod(stat.S_IMODE(former.st_mode))


def _stem(name: str) -> str:
    """Return the first part of the name of a temporary file; most file systems allow 255 bytes."""
    return name if len(os.fsencode(name)) <= 230 else hashlib.sha256(os.fsencode(name)).hexdigest()[:20]


def _name_of_partial(target: Path) -> Path:
    return target.with_name(f"{_stem(target.name)}.{secrets.token_hex(4)}{PARTIAL}")


def _new_partial(target: Path) -> tuple[Path, int]:
    """Return a new temporary file beside a target, locked for as long as its descriptor is open."""
    remove_stale(target.parent, target.name)
    while True:
        partial = _name_of_partial(target)
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0)
        handle = os.open(partial, flags, 0o666)
        if _locked(partial, handle):
            return partial, handle
        os.close(handle)


@contextmanager
def _partial_folder(target: Path) -> Iterator[Path]:
    """Yield a new temporary folder beside a target, locked and in the end removed."""
    remove_stale(target.parent, target.name)
    while True:
        folder = _name_of_partial(target)
        folder.mkdir()
        handle = os.open(folder, os.O_RDONLY) if fcntl is not None else -1
        if handle < 0 or _locked(folder, handle):
            break
        os.close(handle)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        if handle >= 0:
            os.close(handle)


def _restore(target: Path) -> None:
    """Put a folder back in place whose writer was killed between the two renames of `write_folder`."""
    if not target.exists():
        for former in target.parent.glob(f"{glob.escape(_stem(target.name))}.*{PARTIAL}/former"):
            former.rename(target)
            return


def _locked(path: Path, handle: int) -> bool:
    """Lock what was just made; return False if another process took it for left over before that."""
    if fcntl is None:
        return True
    with suppress(OSError):  # a file system without locks: nobody removes there what cannot be locked
        fcntl.flock(handle, fcntl.LOCK_EX)
    try:
        return os.path.samestat(os.fstat(handle), path.stat())
    except FileNotFoundError:
        return False


def _remove_unlocked(path: Path) -> bool:
    """Remove a temporary file or folder whose writer is dead; return whether it was."""
    if path.is_symlink() or not (path.is_dir() or path.is_file()):
        return False
    if fcntl is None:
        with suppress(OSError):
            if path.is_dir():
                shutil.rmtree(path)
            else:
                path.unlink()
            return True
        return False
    try:
        handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW)
    except OSError:
        return False
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink()
    except OSError:
        return False
    finally:
        os.close(handle)
    return True
