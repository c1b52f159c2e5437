"""IDKL (CVPR 2024, arXiv 2403.11708). Importing this package registers its parts."""

from vireid_plugins.methods.idkl.losses import CSA, MDR, TGSA, ModalityHeads
from vireid_plugins.methods.idkl.model import IDKL
from vireid_plugins.methods.idkl.modules import GradientReversal, Purifier, modality_head

__all__ = ["CSA", "IDKL", "MDR", "TGSA", "GradientReversal", "ModalityHeads", "Purifier", "modality_head"]
