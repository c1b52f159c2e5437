"""A design in the spirit of ICRE. Importing this package registers its parts."""

from vireid_plugins.methods.icre.losses import ICG, center_guided, center_tolerance
from vireid_plugins.methods.icre.model import ICRE
from vireid_plugins.methods.icre.modules import MPFR, SDCE

__all__ = ["ICG", "ICRE", "MPFR", "SDCE", "center_guided", "center_tolerance"]
