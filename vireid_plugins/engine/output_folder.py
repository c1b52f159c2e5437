"""The folder that a run writes to: one run at a time, and no run over another."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from fastreid.utils import comm
from filelock import FileLock, Timeout

from vireid_plugins.errors import ConfigError
from vireid_plugins.io.files import make_folder

LOCK = ".lock"


@contextmanager
def claim(folder: Path, resume: bool) -> Iterator[None]:
    """Make the output folder of a run and lock it inside a `with` block; the lock ends with the process.

    With several processes the main one does it for all. Who holds a folder may claim it again.

    Args:
        folder: the folder.
        resume: the run that is there goes on.

    Raises:
        ConfigError: the folder cannot be written, another run holds it, or one has left checkpoints there that would be
            overwritten.
    """
    if not comm.is_main_process():
        yield
        return
    make_folder(folder, "OUTPUT_DIR")
    lock = FileLock(folder.resolve() / LOCK, is_singleton=True)
    try:
        lock.acquire(timeout=0)
    except Timeout:
        raise ConfigError(
            f"OUTPUT_DIR: '{folder}' is in use by another run; name another folder, or wait until it has ended"
        ) from None
    try:
        checkpoints = sorted(file.name for file in folder.glob("*.pth"))
        if checkpoints and not resume:
            raise ConfigError(
                f"OUTPUT_DIR: '{folder}' already contains a run ({', '.join(checkpoints[:3])}), which would be "
                "overwritten: go on with --resume, or name another folder"
            )
        yield
    finally:
        lock.release()
