"""Conversion of checkpoints of other code bases."""

from vireid_plugins.deploy.convert import LAYOUTS, Conversion, convert, convert_file

__all__ = ["LAYOUTS", "Conversion", "convert", "convert_file"]
