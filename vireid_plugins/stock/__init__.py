"""Run-time patches for users of fast-reid's own trainer, loaders and evaluator, one file per part of fast-reid.

`patch()` applies them by name; `vireid_plugins.compat.patch` is the same function. If this package has its own
schedule, optimizer, step or sampler, the patch calls it.
"""

# Each module registers its patches.
from vireid_plugins.compat.registry import PATCHES, Patch, patch, unpatch
from vireid_plugins.stock import data, evaluation, modeling, training  # noqa: F401

__all__ = ["PATCHES", "Patch", "patch", "unpatch"]
