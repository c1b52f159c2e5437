"""Meta-architectures in fast-reid's `META_ARCH_REGISTRY`. Importing this package registers them."""

from vireid_plugins.modeling.meta_arch.baseline import CrossModalityBaseline
from vireid_plugins.modeling.meta_arch.deen import DEEN
from vireid_plugins.modeling.meta_arch.icre import ICRE
from vireid_plugins.modeling.meta_arch.idkl import IDKL
from vireid_plugins.modeling.meta_arch.mscm_net import MSCMNet
from vireid_plugins.modeling.meta_arch.wrim_net import WRIMNet

__all__ = ["DEEN", "ICRE", "IDKL", "CrossModalityBaseline", "MSCMNet", "WRIMNet"]
