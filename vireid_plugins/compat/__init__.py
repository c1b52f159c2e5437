"""The only place that knows fast-reid 1.4.0 is old.

`prepare()` makes the unmodified wheel importable on today's Python and torch, and leaves nothing behind; importing
this package calls it. `patch()` repairs fast-reid's own trainer, loaders and evaluator at run time, by name, for those
who use them. This package itself needs a few of those patches; everything else it repairs by overriding, in the module
that owns the matter.
"""

from vireid_plugins.compat.fastreid_import import FASTREID_INSTALL, FASTREID_VERSION, prepare

prepare()

from vireid_plugins.compat.patches import PATCHES, patch, unpatch  # noqa: E402  they import fastreid

__all__ = ["FASTREID_INSTALL", "FASTREID_VERSION", "PATCHES", "patch", "prepare", "unpatch"]
