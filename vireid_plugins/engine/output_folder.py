"""The folder that a run writes to: one run at a time, and no run over another."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from vireid_plugins.errors import ConfigError

LOCK = ".lock"


@contextmanager
def claim(folder: Path, resume: bool) -> Iterator[None]:
    """Lock the output folder of a run inside a `with` block; the lock ends with the process.

    Args:
        folder: the folder, which exists.
        resume: the run that is there goes on.

    Raises:
        ConfigError: another training holds it, or one has left checkpoints there that would be overwritten.
    """
    lock = FileLock(folder / LOCK)
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
                f"OUTPUT_DIR: '{folder}' holds a run already ({', '.join(checkpoints[:3])}), which would be "
                "overwritten: go on with --resume, or name another folder"
            )
        yield
    finally:
        lock.release()
