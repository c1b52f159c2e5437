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


def network(method: str) -> list[str]:
    """Return the overrides of a method's network: none, or those of the suite's small one at the smallest size."""
    if not SMALLEST:
        return []
    from helpers import SMALL_METHODS  # of tests/, which speed.py puts on the path

    # It divides the positions of a feature map of 96 x 48 images, too.
    heads = ["MODEL.MSCM.HEAD_DIM", "2"] if method == "mscm" else []
    return ["MODEL.BACKBONE.DEPTH", "18x", *SMALL_METHODS.get(method, []), *heads]
