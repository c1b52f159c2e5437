"""Former name of `vireid_plugins.checkpoints` and `vireid_plugins.export`."""

import warnings

from vireid_plugins.checkpoints import LAYOUTS, Conversion, convert, convert_file

warnings.warn(
    "vireid_plugins.deploy is now vireid_plugins.checkpoints (LAYOUTS, convert) and vireid_plugins.export",
    FutureWarning,
    stacklevel=2,
)
__all__ = ["LAYOUTS", "Conversion", "convert", "convert_file"]
