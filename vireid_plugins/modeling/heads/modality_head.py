"""Classifiers of the modality, and the layer that turns them into confusers."""

from typing import Any

import torch
from torch import Tensor, nn


class _Reverse(torch.autograd.Function):
    """The identity whose gradient is turned around."""

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
        weight: of the reversed gradient.
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
        reverse: weight of a gradient reversal layer in front; 0 is none.
    """
    inner = 100
    layers: list[nn.Module] = [GradientReversal(reverse)] if reverse else []
    for width in (channels, inner):
        layers += [nn.Linear(width, inner), nn.BatchNorm1d(inner), nn.ReLU(inplace=True), nn.Dropout(0.5)]
    return nn.Sequential(*layers, nn.Linear(inner, 2))
