"""The output folder of a run: used by one run at a time, and never overwritten by another."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from fastreid.utils import comm
from filelock import FileLock, Timeout

from vireid_plugins.errors import ConfigError
from vireid_plugins.io.files import cannot_write, make_folder, remove_stale

LOCK = ".lock"
# The merged configuration, in the output folder of every run.
CONFIG = "config.yaml"


@contextmanager
def claim(folder: Path, resume: bool) -> Iterator[None]:
    """Create the output folder of a run and lock it inside a `with` block; the lock is released if the process dies.

    With several processes only the main one locks. A process can claim a folder that it has already locked.

    Args:
        folder: the folder.
        resume: the run in the folder is continued.

    Raises:
        ConfigError: the folder cannot be written to, another run has locked it, or it contains checkpoints that would
            be overwritten.
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
            f"OUTPUT_DIR: '{folder}' is in use by another run; choose another folder, or wait until that run has ended"
        ) from None
    except OSError as error:
        raise cannot_write(folder / LOCK, error) from None
    try:
        checkpoints = sorted(file.name for file in folder.glob("*.pth"))
        if checkpoints and not resume:
            raise ConfigError(
                f"OUTPUT_DIR: '{folder}' already contains a run ({', '.join(checkpoints[:3])}), which would be "
                "overwritten; continue it with --resume, or choose another folder"
            )
        # Of a run that was killed; only this one writes here now.
        remove_stale(folder)
        yield
    finally:
        lock.release()
