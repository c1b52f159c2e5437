"""The only place that knows fast-reid 1.4.0 is old.

`prepare()` makes the unmodified wheel importable on today's Python and torch, and leaves nothing behind;
`patch_ddp()` is the one run-time patch our own trainer needs. Everything else is repaired by overriding, in the module
that owns the matter.
"""

from vireid_plugins.compat.ddp import patch_ddp
from vireid_plugins.compat.fastreid_import import FASTREID_INSTALL, FASTREID_VERSION, prepare

__all__ = ["FASTREID_INSTALL", "FASTREID_VERSION", "patch_ddp", "prepare"]
