"""The information purifier of IDKL (CVPR 2024, arXiv 2403.11708) and its modality heads.

With F the specific feature map and IN(F) its instance-normalized form:

    m_e = sigma(W2 relu(W1 g(F))),  m_r = sigma(W4 relu(W3 g(IN F))),  reduction 16
    F_d+ = m_e * F,  F_m- = m_r * IN(F),  purified F~ = m_e * F_m- + m_r * F_d+ = m_e * m_r * (F + IN F)

Paper: channel masks from pooled feature maps, and a plain instance norm. Released code: full-size masks without pooling
(g is the identity), and an instance norm with weights and running statistics. Ours: g is GeM, as the paper replaces
average pooling by GeM; the average of an instance-normalized feature map is 0, which would make m_r the constant 0.5.
"""

from typing import Any, NamedTuple

import torch
from fastreid.config import CfgNode
from fastreid.layers.pooling import GeneralizedMeanPooling
from torch import Tensor, nn

from vireid_plugins.config.keys import arguments
from vireid_plugins.errors import require_name
from vireid_plugins.layers.precision import full_precision, without_autocast
from vireid_plugins.modeling.attention.build import ATTENTION_REGISTRY, MapShape

MASKS = ("channel", "full")


class Purified(NamedTuple):
    """Feature maps (B, C, H, W): F_d+, F_m-, IN(F) and F~."""

    discriminative: Tensor
    kept: Tensor
    normalized: Tensor
    purified: Tensor


@ATTENTION_REGISTRY.register()
class Purifier(nn.Module):
    """Removes modality-specific information from a feature map.

    Args:
        channels: C of the feature map.
        reduction: factor by which a mask's inner layer reduces the channels.
        mask: masks m_e and m_r: "channel", from feature maps pooled by GeM (paper), or "full" (released code).
        affine: instance norm with weights and running statistics (released code) instead of a plain one (paper).

    Raises:
        ConfigError: the mask is unknown.
    """

    def __init__(self, channels: int, *, reduction: int = 16, mask: str = "channel", affine: bool = False) -> None:
        super().__init__()
        require_name("MODEL.ATTENTION.PURIFIER.MASK", mask, MASKS)
        # Defaults: p = 3, clamped at 1e-6.
        self.gem = GeneralizedMeanPooling() if mask == "channel" else None
        self.norm = nn.InstanceNorm2d(channels, affine=affine, track_running_stats=affine)
        self.mask_e, self.mask_r = (self._mask(channels, reduction) for _ in range(2))

    @classmethod
    def from_config(cls, cfg: CfgNode, shape: MapShape) -> nn.Module:
        """Build from `MODEL.ATTENTION.PURIFIER`."""
        return cls(shape.channels, **arguments(cfg.MODEL.ATTENTION.PURIFIER))

    def forward(self, x: Tensor, modalities: Tensor | None = None) -> Tensor:
        """Return F~ (B, C, H, W) for F `x` (B, C, H, W)."""
        return self.parts(x).purified

    def parts(self, x: Tensor) -> Purified:
        """Return the purified feature map and its components."""
        normalized = self.norm(x)
        m_e, m_r = self.mask_e(self._pool(x)), self.mask_r(self._pool(normalized))
        discriminative, kept = m_e * x, m_r * normalized
        return Purified(discriminative, kept, normalized, m_e * kept + m_r * discriminative)

    def _pool(self, x: Tensor) -> Tensor:
        """Return g(x): (B, C, 1, 1) in float32 for channel masks, x itself for full ones."""
        if self.gem is None:
            return x
        with without_autocast(x.device):
            pooled: Tensor = self.gem(full_precision(x))
        return pooled

    @staticmethod
    def _mask(channels: int, reduction: int) -> nn.Module:
        inner = channels // reduction
        return nn.Sequential(
            nn.Conv2d(channels, inner, 1, bias=False),
            nn.ReLU(inplace=True),
            nn.Conv2d(inner, channels, 1, bias=False),
            nn.Sigmoid(),
        )


class _Reverse(torch.autograd.Function):
    """The identity, with a reversed gradient."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: float) -> Tensor:
        ctx.weight = weight
        return x.view_as(x)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        return -ctx.weight * gradients[0], None


class GradientReversal(nn.Module):
    """The identity, whose gradient is multiplied by -weight (Ganin and Lempitsky, ICML 2015).

    Args:
        weight: factor of the reversed gradient.
    """

    def __init__(self, weight: float = 1.0) -> None:
        super().__init__()
        self.weight = weight

    def forward(self, x: Tensor) -> Tensor:
        """Return x."""
        reverse: Any = _Reverse.apply
        out: Tensor = reverse(x, self.weight)
        return out


def modality_head(channels: int, reverse: float = 0.0) -> nn.Sequential:
    """Return FC C-100, BN, ReLU, dropout 0.5, FC 100-100, BN, ReLU, dropout 0.5, FC 100-2 (IDKL's released code).

    Args:
        channels: C of the feature.
        reverse: weight of a gradient reversal layer in front; 0 leaves it out.
    """
    inner = 100
    layers: list[nn.Module] = [GradientReversal(reverse)] if reverse else []
    for width in (channels, inner):
        layers += [nn.Linear(width, inner), nn.BatchNorm1d(inner), nn.ReLU(inplace=True), nn.Dropout(0.5)]
    return nn.Sequential(*layers, nn.Linear(inner, 2))
