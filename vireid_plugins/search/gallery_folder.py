"""The folder of a gallery: what is one, where one may be written, and one process that indexes at a time.

It holds `gallery.db` and the files `segment.N.npy` (`vireid_plugins.search.engines.folder`), or `milvus.json` and
perhaps `milvus.db` (`vireid_plugins.search.engines.milvus`), and `.lock`, the lock of the process that indexes.
Galleries of earlier releases hold `gallery.json` instead and are converted when they are opened
(`vireid_plugins.search.legacy`).
"""

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from filelock import FileLock, Timeout

from vireid_plugins.errors import DataError
from vireid_plugins.io.files import for_writing, make_folder
from vireid_plugins.search.engines.milvus_place import EMBEDDED, NOTE, remove_embedded
from vireid_plugins.search.engines.rows import DATABASE

LEGACY, LOCK = "gallery.json", ".lock"
# Folder of the images of a gallery of tracks, a gallery itself.
FRAMES = "frames"
# Folder of the galleries of processes that index together (`vireid_plugins.search.shards`).
SHARDS = "shards"
# Seconds that a short change waits for a process that indexes.
PATIENCE = 60.0
# What a gallery's folder may contain, also after a process was killed.
_OURS = re.compile(
    r"gallery\.db(?:-journal)?|\.?segment\.\d+\.npy(?:\.(?:\w+\.)?partial\w*)?|\.lock"
    r"|\.?(?:vectors(?:\.\d+)?\.npy|gallery(?:\.\d+)?\.faiss|gallery\.json|milvus\.json)(?:\.(?:\w+\.)?partial\w*)?"
)


def is_gallery(folder: Path) -> bool:
    """Return whether a folder contains a gallery, of this or an earlier release."""
    # Path.is_file raises what cannot be read.
    return any(os.path.isfile(folder / name) for name in (DATABASE, NOTE, LEGACY))  # noqa: PTH113


def is_legacy(folder: Path) -> bool:
    """Return whether a folder contains a gallery of an earlier release, and none of this one."""
    has = {name: os.path.isfile(folder / name) for name in (DATABASE, NOTE, LEGACY)}  # noqa: PTH113
    return has[LEGACY] and not has[DATABASE] and not has[NOTE]


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
    """Be the only process that indexes a gallery inside a `with` block; the lock is released if the process dies.

    The block may be entered again inside itself. A folder without a gallery at its end is removed.

    Args:
        folder: folder of the gallery; it is created.
        patience: seconds to wait for another process.

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
                for file in folder.iterdir():
                    if file.name == EMBEDDED:
                        remove_embedded(folder)
                    elif _ours(file):
                        file.unlink()
                folder.rmdir()
        lock.release()


def _ours(file: Path) -> bool:
    """Return whether a file has a name that a writer of galleries gives."""
    return file.name == EMBEDDED if file.is_dir() else bool(_OURS.fullmatch(file.name))


def _abandoned(folder: Path) -> bool:
    """Return whether a folder is empty or holds only what a writer left; its lock tells that from files of others."""
    files = [
        file
        for file in folder.iterdir()
        if file.name != SHARDS and (file.name != FRAMES or not (is_gallery(file) or _abandoned(file)))
    ]
    return not files or (any(file.name == LOCK for file in files) and all(map(_ours, files)))
