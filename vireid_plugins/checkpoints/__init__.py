"""Conversion of checkpoints of other code bases."""

from vireid_plugins.checkpoints.convert import Conversion, convert, convert_file
from vireid_plugins.checkpoints.layouts import LAYOUTS

__all__ = ["LAYOUTS", "Conversion", "convert", "convert_file"]
