"""Run-time repairs of fast-reid for those who use its own trainer, one file a part of it."""

# Each module registers its patches.
from vireid_plugins.compat.patches import data, devices, evaluation, modeling, training  # noqa: F401
from vireid_plugins.compat.patches.registry import PATCHES, Patch, patch, unpatch

__all__ = ["PATCHES", "Patch", "patch", "unpatch"]
