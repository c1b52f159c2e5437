"""WRIM-Net (ECCV 2024). Importing this package registers its parts."""

from vireid_plugins.methods.wrim.losses import CMKIC, cmkic, key_instance_contrast
from vireid_plugins.methods.wrim.model import WRIMNet
from vireid_plugins.methods.wrim.modules import MIIM

__all__ = ["CMKIC", "MIIM", "WRIMNet", "cmkic", "key_instance_contrast"]
