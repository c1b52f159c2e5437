"""Run-time repairs of fast-reid for those who use its own trainer, loaders and evaluator, one file a part of it.

`patch()` applies them by name; `vireid_plugins.compat.patch` is the same. Where this package has a schedule, an
optimizer, a step or a sampler of its own, the repair calls that.
"""

# Each module registers its patches.
from vireid_plugins.compat.registry import PATCHES, Patch, patch, unpatch
from vireid_plugins.stock import data, evaluation, modeling, training  # noqa: F401

__all__ = ["PATCHES", "Patch", "patch", "unpatch"]
