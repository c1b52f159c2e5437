"""Attention modules that a config plugs into a stage; methods register more. Importing this package registers them."""

from vireid_plugins.modeling.attention.build import ATTENTION_REGISTRY, MapShape, build_map_modules
from vireid_plugins.modeling.attention.mam import MAM
from vireid_plugins.modeling.attention.non_local import NonLocal

__all__ = ["ATTENTION_REGISTRY", "MAM", "MapShape", "NonLocal", "build_map_modules"]
