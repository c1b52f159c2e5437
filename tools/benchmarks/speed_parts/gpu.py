"""Training steps at the papers' sizes on a CUDA device: every method and its bare network, layouts, compilation.

A CPU runs the same rows at a size that only shows that they work.
"""

from collections.abc import Sequence
from functools import partial

from speed_parts import training
from speed_parts.measure import Subject

METHODS = {**training.METHODS, "caj": "CAJ"}
# The network without attention, and the one with the most of it.
COMPILED = ("one_stream", "wrim")
# P, K and size on a CPU: feature maps with an even number of positions (DEEN) that 9 divides (MSCMNet), and a width of
# at least 3.
TINY: training.Small = (2, 2, (96, 48))
BARE = "bare network, bfloat16"


def _bare(method: str) -> Subject:
    return Subject(METHODS[method], BARE, partial(training.ceiling, method, "bfloat16", small=TINY))


def _ours(method: str, way: str, keys: Sequence[str] = (), channels_last: bool = True) -> Subject:
    prepare = partial(training.ours, method, "bfloat16", keys, small=TINY, channels_last=channels_last)
    return Subject(METHODS[method], f"this package, bfloat16, {way}", prepare, ceiling=BARE)


# Time may run out: the most important rows come first, those that may take minutes last.
SUBJECTS = [
    *(subject for method in METHODS for subject in (_bare(method), _ours(method, "channels last"))),
    *(_ours(method, "channels first", channels_last=False) for method in METHODS),
    *(_ours(method, "MODEL.COMPILE", training.KEYS["MODEL.COMPILE"]) for method in COMPILED),
]
