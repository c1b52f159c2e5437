"""Compatibility of fast-reid 1.4.0 with current Python and torch.

Importing this package calls `prepare()`, which makes the unmodified wheel importable without permanent side effects.
The run-time patches that this package itself needs are in `patches`; those for fast-reid's own trainer, loaders and
evaluator are in `vireid_plugins.stock`, whose `PATCHES`, `patch` and `unpatch` are also available here.
"""

import importlib
from typing import Any

from vireid_plugins.compat.fastreid_import import FASTREID_INSTALL, FASTREID_VERSION, prepare

prepare()

from vireid_plugins.compat import patches  # noqa: E402, F401  registers the patches; needs fastreid

__all__ = ["FASTREID_INSTALL", "FASTREID_VERSION", "prepare"]
# Names that moved to `vireid_plugins.stock`.
STOCK = ("PATCHES", "patch", "unpatch")


def __getattr__(name: str) -> Any:
    """Return a name of `vireid_plugins.stock`, imported on first use because it depends on this package."""
    if name in STOCK:
        return getattr(importlib.import_module("vireid_plugins.stock"), name)
    raise AttributeError(f"module '{__name__}' has no attribute '{name}'")
