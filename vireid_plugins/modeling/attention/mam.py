"""Modality alleviation module, MAM (Wu et al., MPANet, CVPR 2021; behavior of the repository DoubtedSteam/MPANet).

    m = sigma(W2 relu(W1 avg(F))),   out = m * F + (1 - m) * IN(F)

so a channel keeps its brightness and contrast as far as m lets it. MPANet and SAAI have one at the end of stage 3 and
one at the end of stage 4.
"""

from fastreid.config import CfgNode
from torch import Tensor, nn

from vireid_plugins.config.keys import arguments
from vireid_plugins.modeling.attention.build import ATTENTION_REGISTRY, MapShape


@ATTENTION_REGISTRY.register()
class MAM(nn.Module):
    """A gate per channel between a feature map and its instance-normalized form.

    The instance norm has neither weights nor running statistics, so it uses those of the image at test, too.

    Args:
        channels: C of the feature map.
        reduction: factor by which the gate's inner layer reduces the channels.
    """

    def __init__(self, channels: int, *, reduction: int = 16) -> None:
        super().__init__()
        self.norm = nn.InstanceNorm2d(channels)
        inner = max(1, channels // reduction)
        squeeze, restore = nn.Conv2d(channels, inner, 1, bias=False), nn.Conv2d(inner, channels, 1, bias=False)
        for layer in (squeeze, restore):
            nn.init.kaiming_normal_(layer.weight, mode="fan_out", nonlinearity="relu")
        self.gate = nn.Sequential(squeeze, nn.ReLU(inplace=True), restore, nn.Sigmoid())

    @classmethod
    def from_config(cls, cfg: CfgNode, shape: MapShape) -> nn.Module:
        """Build from `MODEL.ATTENTION.MAM`."""
        return cls(shape.channels, **arguments(cfg.MODEL.ATTENTION.MAM))

    def forward(self, x: Tensor, modalities: Tensor | None = None) -> Tensor:
        """Transform a feature map (B, C, H, W) to one of the same shape."""
        m = self.gate(x.mean((2, 3), keepdim=True))
        normalized = self.norm(x)
        out: Tensor = normalized + m * (x - normalized)
        return out
