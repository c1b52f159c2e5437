"""Backbones, attention, heads, losses and the baseline, registered in fast-reid's registries and in our own."""

from vireid_plugins.modeling import attention, backbones, heads, losses  # registers
from vireid_plugins.modeling.baseline import CrossModalityBaseline
from vireid_plugins.modeling.cluster_contrast import ClusterContrast
from vireid_plugins.modeling.loss_inputs import Branch, LossInputs

__all__ = [
    "Branch",
    "ClusterContrast",
    "CrossModalityBaseline",
    "LossInputs",
    "attention",
    "backbones",
    "heads",
    "losses",
]
