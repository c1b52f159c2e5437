"""Attention modules. Importing this package registers them."""

from vireid_plugins.modeling.attention.build import ATTENTION_REGISTRY, MapShape, build_map_modules
from vireid_plugins.modeling.attention.miim import MIIM

__all__ = ["ATTENTION_REGISTRY", "MIIM", "MapShape", "build_map_modules"]
