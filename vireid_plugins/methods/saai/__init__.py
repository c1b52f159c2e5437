"""SAAI (ICCV 2023). Importing this package registers its parts."""

from vireid_plugins.methods.saai.losses import PartDiversity, part_diversity
from vireid_plugins.methods.saai.model import SAAI
from vireid_plugins.methods.saai.modules import SAFL

__all__ = ["SAAI", "SAFL", "PartDiversity", "part_diversity"]
