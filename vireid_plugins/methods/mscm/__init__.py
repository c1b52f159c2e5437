"""MSCMNet (Pattern Recognition 2025). Importing this package registers its parts."""

from vireid_plugins.methods.mscm.losses import QCT, quadruple_center_triplet
from vireid_plugins.methods.mscm.model import MSCMNet
from vireid_plugins.methods.mscm.modules import ALB

__all__ = ["ALB", "QCT", "MSCMNet", "quadruple_center_triplet"]
