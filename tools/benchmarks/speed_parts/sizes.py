"""Sizes of what is measured: as published, or the smallest at which a subject runs."""

import os
from typing import TypeVar

T = TypeVar("T")

# Processes that measure inherit it.
VARIABLE = "VIREID_BENCHMARK_SMALLEST"
SMALLEST = bool(os.environ.get(VARIABLE))


def size(published: T, smallest: T) -> T:
    """Return one of two sizes: what is published, or the smallest if `speed.py --smallest` was called."""
    return smallest if SMALLEST else published
