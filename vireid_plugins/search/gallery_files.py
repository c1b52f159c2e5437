"""The folder of a gallery: one writer, many readers, and one version that all of them see.

`gallery.json` is the pointer: it is replaced as a whole, and names the version of the other files, with their digests.
`vectors.npy` (n, D) float32 and, unless the index is flat, `gallery.faiss` belong to version 1, `vectors.2.npy` and
`gallery.2.faiss` to version 2, and so on. A writer holds the lock `.lock`, writes files of a new version, replaces the
pointer, and removes what the pointer no longer names. A reader needs no lock: it opens all files first, and starts
again if the pointer has changed meanwhile. A writer that is killed at any instant leaves the old version or the new.
"""

import hashlib
import json
import os
import re
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import numpy as np
import numpy.typing as npt
from filelock import FileLock, Timeout

from vireid_plugins.errors import DataError
from vireid_plugins.io.files import for_writing, make_folder, write_atomic
from vireid_plugins.io.regular import open_regular, read_bytes

POINTER, LOCK = "gallery.json", ".lock"
# Seconds that a short change waits for another writer.
PATIENCE = 60.0
# Largest pointer that is read, far more than ten million images.
MAX_POINTER = 8 * 2**30
# What a gallery's folder may contain, also after a writer was killed; the number of a version is a group.
_FILES = re.compile(r"(?:vectors(?:\.(\d+))?\.npy|gallery(?:\.(\d+))?\.faiss|gallery\.json|\.lock)")
_PARTIAL = re.compile(r"\.?(?:vectors(?:\.\d+)?\.npy|gallery(?:\.\d+)?\.faiss|gallery\.json)\.(?:\w+\.)?partial\w*")
Bytes = npt.NDArray[np.uint8]


class Stored(NamedTuple):
    """What the files of a gallery contain: the pointer, the vectors (n, D), and the faiss index's bytes, if any."""

    note: dict[str, Any]
    vectors: npt.NDArray[np.float32]
    content: Bytes | None


class DamageError(Exception):
    """Files of a gallery that do not fit together; the message says which and why."""


def is_gallery(folder: Path) -> bool:
    """Return whether a folder contains a gallery."""
    return os.path.isfile(folder / POINTER)  # noqa: PTH113  Path.is_file raises what cannot be read


def require_room(folder: Path) -> None:
    """Raise an error unless a gallery can be written to a folder: it is a gallery, empty, or does not exist.

    Raises:
        DataError: the folder exists and is not a gallery.
        ConfigError: the parent folder cannot be written to.
    """
    if folder.is_symlink() and not folder.exists():
        raise DataError(f"'{folder}' is a link to a folder that does not exist; choose another folder")
    with for_writing(folder):
        if folder.exists() and not (folder.is_dir() and (is_gallery(folder) or _abandoned(folder))):
            raise DataError(f"'{folder}' exists and is not a gallery; refusing to overwrite it. Choose another folder")
    make_folder(folder.parent, "the gallery")


@contextmanager
def writing(folder: Path, patience: float = PATIENCE) -> Iterator[None]:
    """Be the only writer of a gallery inside a `with` block; the lock is released if the process dies.

    The block may be entered again inside itself. A folder without a gallery at its end is removed.

    Args:
        folder: folder of the gallery; it is created.
        patience: seconds to wait for another writer.

    Raises:
        DataError: another process is writing the gallery, or the folder is something else.
        ConfigError: the folder cannot be written.
    """
    require_room(folder)
    with for_writing(folder / LOCK):
        folder.mkdir(exist_ok=True)
        lock = FileLock(folder.resolve() / LOCK, is_singleton=True)
        try:
            lock.acquire(timeout=patience)
        except Timeout:
            raise DataError(
                f"the gallery '{folder}' is being written by another process; try again when that has ended"
            ) from None
        except OSError as error:
            raise DataError(f"'{folder / LOCK}' cannot be locked: {error.strerror or error}") from None
    try:
        yield
    finally:
        if not is_gallery(folder):
            with suppress(OSError):
                _remove_strays(folder)
                (folder / LOCK).unlink()
                folder.rmdir()
        lock.release()


def write(folder: Path, note: dict[str, Any], vectors: npt.NDArray[np.float32], index: Bytes | None) -> bytes:
    """Write a new version of a gallery, and return its pointer. The caller holds `writing`.

    Args:
        folder: folder of the gallery.
        note: what the pointer says besides the version and the digests.
        vectors: (n, D).
        index: the bytes of the faiss index, if there is one.

    Raises:
        ConfigError: a file cannot be written; the old version stays.
    """
    _remove_strays(folder)
    version = 1 + max((_version(file.name) for file in folder.iterdir()), default=0)
    vectors = np.ascontiguousarray(vectors)
    digests = {"vectors": _digest(vectors)} | ({} if index is None else {"index": _digest(index)})
    pointer = json.dumps({"version": version, "digests": digests, **note}, indent=1).encode()
    vectors_file, index_file = _names(version)
    try:
        with for_writing(folder / vectors_file), write_atomic(folder / vectors_file) as stream:
            np.lib.format.write_array_header_1_0(stream, np.lib.format.header_data_from_array_1_0(vectors))
            _write_numbers(stream, vectors)
        if index is not None:
            with for_writing(folder / index_file), write_atomic(folder / index_file) as stream:
                _write_numbers(stream, index)
        with for_writing(folder / POINTER), write_atomic(folder / POINTER) as stream:
            stream.write(pointer)
    finally:
        # Of the two versions, what the pointer does not name.
        _remove_strays(folder)
    return pointer


def read(folder: Path, check: Callable[[Stored, bytes], Any]) -> Any:
    """Return what `check` makes of a gallery's files and their pointer; all of them are of one version.

    Args:
        folder: folder of the gallery.
        check: raises `DamageError` or another error for contents that do not fit together.

    Raises:
        DataError: the gallery does not exist, cannot be read, or is damaged.
    """
    pointer = pointer_of(folder)
    while True:
        if pointer is None:
            raise DataError(f"'{folder}' is not a gallery; create one: vireid search index IMAGES --index {folder}")
        try:
            return check(_stored(folder, pointer), pointer)
        except Exception as error:
            # Damaged contents raise errors of many kinds. A writer may have replaced the version while it was read.
            again = pointer_of(folder)
            if again == pointer:
                raise _damaged(folder, error) from None
            pointer = again


def pointer_of(folder: Path) -> bytes | None:
    """Return the content of a gallery's pointer, or None if there is none.

    Raises:
        DataError: it cannot be read.
    """
    try:
        return read_bytes(folder / POINTER, MAX_POINTER)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise DataError(f"the gallery '{folder}' cannot be read: {error.strerror}") from None


def _stored(folder: Path, pointer: bytes) -> Stored:
    """Read the files that a pointer names. They are opened before any is read: what is open can be removed."""
    note = json.loads(pointer)
    if not isinstance(note, dict):
        raise DamageError(f"{POINTER} holds no table")
    version, digests = note.get("version", 1), note.get("digests", {})
    vectors_file, index_file = _names(version)
    with ExitStack() as stack:
        vectors_stream = stack.enter_context(open_regular(folder / vectors_file))
        with_index = note["kind"] != "flat"
        index_stream = stack.enter_context(open_regular(folder / index_file)) if with_index else None
        vectors = _read_vectors(vectors_stream, vectors_file, len(note["numbers"]), note["width"])
        index = None if index_stream is None else np.frombuffer(index_stream.read(), np.uint8)
    # Galleries of earlier commits have no digests.
    for name, content in (("vectors", vectors), ("index", index)):
        if name in digests and (content is None or _digest(content) != digests[name]):
            raise DamageError(
                f"{vectors_file if name == 'vectors' else index_file} has another digest than {POINTER} says"
            )
    return Stored(note, vectors.astype(np.float32, copy=False), index)


def _read_vectors(stream: BinaryIO, name: str, count: int, width: int) -> npt.NDArray[Any]:
    """Read vectors (count, width) from an .npy file; its header is compared before memory is allocated."""
    if np.lib.format.read_magic(stream) != (1, 0):
        raise DamageError(f"{name} is not an .npy file of version 1.0")
    shape, fortran, dtype = np.lib.format.read_array_header_1_0(stream)
    if shape != (count, width) or dtype.kind != "f" or fortran:
        raise DamageError(f"{count} images of {width} numbers, but {name} holds {dtype} of shape {shape}")
    left = os.fstat(stream.fileno()).st_size - stream.tell()
    if left != count * width * dtype.itemsize:
        raise DamageError(f"{name} is cut off or too long: {left:,} bytes for {count} x {width} numbers")
    return np.fromfile(stream, dtype, count * width).reshape(count, width)


def _write_numbers(stream: BinaryIO, numbers: npt.NDArray[Any], block: int = 2**26) -> None:
    """Write an array's bytes. Unlike `ndarray.tofile`, this says why a disk refuses them."""
    content = _bytes_of(numbers)
    for start in range(0, len(content), block):
        stream.write(content[start : start + block])


def _digest(numbers: npt.NDArray[Any]) -> str:
    return hashlib.sha256(_bytes_of(numbers)).hexdigest()


def _bytes_of(numbers: npt.NDArray[Any]) -> memoryview:
    return numbers.reshape(-1).view(np.uint8).data


def _names(version: object) -> tuple[str, str]:
    """Return the names of the vectors' file and of the index's file of a version."""
    if not isinstance(version, int) or isinstance(version, bool) or version < 1:
        raise DamageError(f"{POINTER} names version {version!r}")
    middle = "" if version == 1 else f".{version}"
    return f"vectors{middle}.npy", f"gallery{middle}.faiss"


def _version(name: str) -> int:
    """Return the version that a file belongs to; 0 if none."""
    match = _FILES.fullmatch(name)
    if match is None or name in (POINTER, LOCK):
        return 0
    return int(match[1] or match[2] or 1)


def _ours(file: Path) -> bool:
    """Return whether a file has a name that a writer of galleries gives."""
    return bool(_FILES.fullmatch(file.name) or _PARTIAL.fullmatch(file.name)) and not file.is_dir()


def _abandoned(folder: Path) -> bool:
    """Return whether a folder is empty or holds only what a writer left; its lock tells that from files of others."""
    files = list(folder.iterdir())
    return not files or (any(file.name == LOCK for file in files) and all(map(_ours, files)))


def _remove_strays(folder: Path) -> None:
    """Remove what writers that were killed have left, and files of versions that the pointer does not name."""
    pointer = pointer_of(folder)
    kept: tuple[str, ...] = ()
    if pointer is not None:
        try:
            kept = _names(json.loads(pointer).get("version", 1))
        except (ValueError, AttributeError, RecursionError, DamageError):
            # A damaged pointer tells nothing of the versions; they stay.
            kept = tuple(file.name for file in folder.iterdir() if _version(file.name))
    for file in folder.iterdir():
        if _ours(file) and file.name not in (POINTER, LOCK, *kept):
            with suppress(OSError):
                file.unlink()


def _damaged(folder: Path, error: Exception) -> DataError:
    if isinstance(error, DataError):
        return error
    if isinstance(error, PermissionError):
        return DataError(f"the gallery '{folder}' cannot be read: '{error.filename}': {error.strerror}")
    reason = f"'{Path(error.filename).name}': {error.strerror}" if isinstance(error, OSError) else error
    if isinstance(error, KeyError):
        reason = f"{POINTER} lacks {error}"
    text = str(reason) or type(error).__name__
    return DataError(f"the gallery '{folder}' is damaged ({text}); delete it and index the images again")
