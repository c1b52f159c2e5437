"""Squeeze and excitation (Hu et al., CVPR 2018), as a map module."""

from fastreid.config import CfgNode
from torch import Tensor, nn

from vireid_plugins.modeling.attention import ATTENTION_REGISTRY, MapShape


@ATTENTION_REGISTRY.register()
class ChannelGate(nn.Module):
    """Multiplies each channel by a gate in (0, 1), computed from the channels' means.

    Args:
        channels: C of the feature map.
        reduction: the hidden layer has C / reduction units, at least one.
    """

    def __init__(self, channels: int, *, reduction: int = 16) -> None:
        super().__init__()
        hidden = max(1, channels // reduction)
        self.gate = nn.Sequential(
            nn.Conv2d(channels, hidden, 1), nn.ReLU(), nn.Conv2d(hidden, channels, 1), nn.Sigmoid()
        )

    @classmethod
    def from_config(cls, cfg: CfgNode, shape: MapShape) -> "ChannelGate":
        """Build from `MODEL.ATTENTION.CHANNEL_GATE`; `shape` describes its input."""
        return cls(shape.channels, reduction=cfg.MODEL.ATTENTION.CHANNEL_GATE.REDUCTION)

    def forward(self, x: Tensor, modalities: Tensor | None = None) -> Tensor:
        """Transform a feature map (B, C, H, W) to one of the same shape."""
        gated: Tensor = x * self.gate(x.mean((2, 3), keepdim=True))
        return gated
