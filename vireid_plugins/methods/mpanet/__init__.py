"""MPANet (CVPR 2021). Importing this package registers its parts."""

from vireid_plugins.methods.mpanet.losses import PatternSeparation
from vireid_plugins.methods.mpanet.model import MPANet
from vireid_plugins.methods.mpanet.modules import PatternMaps

__all__ = ["MPANet", "PatternMaps", "PatternSeparation"]
