"""Loops that numba compiles, once per machine if it can write its cache."""

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import torch


def compiled(function: Callable[..., Any]) -> Callable[..., Any]:
    """Compile a function of arrays to machine code that runs outside the interpreter's lock."""
    import numba

    try:
        fast: Callable[..., Any] = numba.njit(nogil=True, cache=True)(function)
    except RuntimeError:
        # The cache is not writable: every process compiles for itself.
        fast = numba.njit(nogil=True)(function)
    return fast


def over_rows(work: Callable[[int, int], None], rows: int, least: int = 64) -> None:
    """Call `work(start, stop)` on parts of `rows`, in as many threads as torch uses.

    numba's own thread pool is not used because it does not survive a fork. Each part must write only to its own rows,
    so that the number of threads changes no value.
    """
    threads = max(1, min(torch.get_num_threads(), os.cpu_count() or 1, rows // least))
    if threads == 1:
        work(0, rows)
        return
    # More parts than threads, since some rows take longer than others.
    bounds = [rows * part // (4 * threads) for part in range(4 * threads + 1)]
    with ThreadPoolExecutor(threads) as pool:
        list(pool.map(work, bounds[:-1], bounds[1:]))
