"""Attention modules. Importing this package registers them."""

from vireid_plugins.modeling.attention.alb import ALB
from vireid_plugins.modeling.attention.build import ATTENTION_REGISTRY, MapShape, build_map_modules
from vireid_plugins.modeling.attention.icre import MPFR, SDCE
from vireid_plugins.modeling.attention.mfa import DEE, MFA
from vireid_plugins.modeling.attention.miim import MIIM
from vireid_plugins.modeling.attention.non_local import NonLocal
from vireid_plugins.modeling.attention.purifier import Purifier

__all__ = [
    "ALB",
    "ATTENTION_REGISTRY",
    "DEE",
    "MFA",
    "MIIM",
    "MPFR",
    "SDCE",
    "MapShape",
    "NonLocal",
    "Purifier",
    "build_map_modules",
]
