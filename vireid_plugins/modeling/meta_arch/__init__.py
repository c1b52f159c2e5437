"""Meta-architectures in fast-reid's `META_ARCH_REGISTRY`. Importing this package registers them."""

from vireid_plugins.modeling.meta_arch.baseline import CrossModalityBaseline
from vireid_plugins.modeling.meta_arch.wrim_net import WRIMNet

__all__ = ["CrossModalityBaseline", "WRIMNet"]
