"""Walk folders that may hold links to folders."""

import os
from collections.abc import Callable, Iterator
from pathlib import Path


def folders_below(top: Path, skipped: Callable[[str], bool] = lambda name: False) -> Iterator[Path]:
    """Yield a folder and all below it, by name; each of them once.

    Links to folders are followed after everything else, so that what has a path without one is found by that.

    Args:
        top: the folder.
        skipped: whether a folder of this name is left out.

    Raises:
        OSError: a folder cannot be read.
    """
    seen: set[str] = set()
    waiting = [top]
    for start in waiting:
        for place, folders, _ in os.walk(start, onerror=_raised):
            if (real := os.path.realpath(place)) in seen:
                folders.clear()
                continue
            seen.add(real)
            folders[:] = sorted(name for name in folders if not skipped(name))
            yield Path(place)
            waiting += [link for name in folders if (link := Path(place, name)).is_symlink()]


def _raised(error: OSError) -> None:
    raise error
