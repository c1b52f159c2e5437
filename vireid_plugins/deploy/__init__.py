"""Conversion of checkpoints of other code bases, and export of trained methods."""

from vireid_plugins.deploy.compare import compare, comparison_table, forms
from vireid_plugins.deploy.convert import Conversion, convert, convert_file
from vireid_plugins.deploy.export import Exported, export_onnx, export_program
from vireid_plugins.deploy.layouts import LAYOUTS
from vireid_plugins.deploy.single_modality import SingleModality

__all__ = [
    "LAYOUTS",
    "Conversion",
    "Exported",
    "SingleModality",
    "compare",
    "comparison_table",
    "convert",
    "convert_file",
    "export_onnx",
    "export_program",
    "forms",
]
