"""Multi-stream backbones. Importing this package registers them in fast-reid's `BACKBONE_REGISTRY`."""

from vireid_plugins.modeling.backbones.adapters import ADAPTERS, Cut, register_adapter
from vireid_plugins.modeling.backbones.build import build_multi_stream_backbone
from vireid_plugins.modeling.backbones.multi_stream import MultiStreamBackbone
from vireid_plugins.modeling.backbones.timm_models import build_timm_backbone

__all__ = [
    "ADAPTERS",
    "Cut",
    "MultiStreamBackbone",
    "build_multi_stream_backbone",
    "build_timm_backbone",
    "register_adapter",
]
