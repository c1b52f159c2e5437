"""Export of trained methods to ONNX and `torch.export`, and comparison of the exported forms."""

from vireid_plugins.export.compare import compare, comparison_table, forms
from vireid_plugins.export.exporters import Exported, export_onnx, export_program
from vireid_plugins.extraction.single_modality import SingleModality

__all__ = [
    "Exported",
    "SingleModality",
    "compare",
    "comparison_table",
    "export_onnx",
    "export_program",
    "forms",
]
