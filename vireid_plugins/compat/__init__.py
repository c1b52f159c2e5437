"""The only place that knows fast-reid 1.4.0 is old.

`prepare()` makes the unmodified wheel importable on today's Python and torch, and leaves nothing behind; importing
this package calls it. The run-time patches that the package itself needs are in `patches`; those for fast-reid's own
trainer, loaders and evaluator in `vireid_plugins.stock`, whose `PATCHES`, `patch` and `unpatch` are also found here.
"""

import importlib
from typing import Any

from vireid_plugins.compat.fastreid_import import FASTREID_INSTALL, FASTREID_VERSION, prepare

prepare()

from vireid_plugins.compat import patches  # noqa: E402, F401  registers them; needs fastreid

__all__ = ["FASTREID_INSTALL", "FASTREID_VERSION", "prepare"]
# Found here under the names they had before `stock` was a package of its own.
STOCK = ("PATCHES", "patch", "unpatch")


def __getattr__(name: str) -> Any:
    """Return a name of `vireid_plugins.stock`, which stands above this package and is imported when asked for."""
    if name in STOCK:
        return getattr(importlib.import_module("vireid_plugins.stock"), name)
    raise AttributeError(f"module '{__name__}' has no attribute '{name}'")
