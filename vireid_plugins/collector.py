"""Pause Python's collector of cyclic garbage while much is created that stays. Imports only the standard library.

The collector looks at all living objects again and again as their number grows: a tenth of the time of an import of
torch, and of reading lists of images.
"""

import gc
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def collector_paused(forget: bool = False) -> Iterator[None]:
    """Collect nothing inside a `with` block.

    Args:
        forget: never look at the objects that are there at its end. For the start of a command, whose imports stay.
    """
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
        if forget:
            gc.freeze()
    finally:
        if was_enabled:
            gc.enable()
