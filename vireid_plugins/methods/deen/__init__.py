"""DEEN (CVPR 2023). Importing this package registers its parts."""

from vireid_plugins.methods.deen.losses import CPM, Orthogonality, cross_modality_expansion, orthogonality
from vireid_plugins.methods.deen.model import DEEN
from vireid_plugins.methods.deen.modules import DEE, MFA

__all__ = ["CPM", "DEE", "DEEN", "MFA", "Orthogonality", "cross_modality_expansion", "orthogonality"]
