"""Non-local block (Wang et al., CVPR 2018) in the dot-product form of AGW (TPAMI 2022) and MSCMNet.

Behavior of the released code: scores are divided by the number of positions instead of passing a softmax, and the batch
norm of the output starts at zero, so that the block starts as the identity. Inner width 1 in AGW, C / 2 in MSCMNet.
"""

import torch
from fastreid.config import CfgNode
from torch import Tensor, nn

from vireid_plugins.config.keys import arguments
from vireid_plugins.modeling.attention.build import ATTENTION_REGISTRY, MapShape


def averaged_product(a: Tensor, b: Tensor, count: int) -> Tensor:
    """Return a b^T / count (B, R, S) of `a` (B, R, N) and `b` (B, S, N), dividing before the product.

    If it were divided afterwards, the sum over N positions and the product that follows would leave the range of
    float16 (65,504) at activations of three times unit size. Each factor is divided by sqrt(count): dividing one factor
    by count would push small activations below float16's smallest normal number (6e-5).
    """
    share = count**-0.5
    # `bmm`, as the operator @ takes five more calls for the same product.
    return torch.bmm(share * a, (share * b).transpose(1, 2))


@ATTENTION_REGISTRY.register()
class NonLocal(nn.Module):
    """x + BN(W(theta(x) phi(x)^T g(x) / positions)).

    Args:
        channels: C of the feature map.
        inner: width of theta, phi and g: 1 in AGW; 0 is C / 2, as in MSCMNet.
    """

    def __init__(self, channels: int, *, inner: int = 0) -> None:
        super().__init__()
        inner = inner or channels // 2
        self.theta = nn.Conv2d(channels, inner, 1)
        self.phi = nn.Conv2d(channels, inner, 1)
        self.g = nn.Conv2d(channels, inner, 1)
        self.W = nn.Conv2d(inner, channels, 1)
        self.norm = nn.BatchNorm2d(channels)
        nn.init.zeros_(self.norm.weight)

    @classmethod
    def from_config(cls, cfg: CfgNode, shape: MapShape) -> nn.Module:
        """Build from `MODEL.ATTENTION.NON_LOCAL`."""
        return cls(shape.channels, **arguments(cfg.MODEL.ATTENTION.NON_LOCAL))

    def forward(self, x: Tensor, modalities: Tensor | None = None) -> Tensor:
        """Transform a feature map (B, C, H, W) to one of the same shape."""
        theta, phi, g = (part(x).flatten(2) for part in (self.theta, self.phi, self.g))
        # Without a softmax the products can be taken in this order, which needs no positions x positions matrix.
        mixed = torch.bmm(averaged_product(g, phi, phi.shape[2]), theta)
        out: Tensor = self.norm(self.W(mixed.unflatten(2, x.shape[2:])))
        return x + out
