"""SAFL, and a BNNeck for each modality (SAAI, ICCV 2023; behavior of the repository xiaoye-hhh/SAAI)."""

from typing import Any

import torch
from torch import Tensor, nn

from vireid_plugins.errors import ConfigError


class SAFL(nn.Module):
    """Semantic-aligned feature learning: A_kp = sigmoid(T_k . (F_p + E_p)), with prototypes T and positions E.

    Args:
        channels: C of the feature map.
        parts: n.
        size: height and width of the feature map; others are an error.
    """

    def __init__(self, channels: int, parts: int, size: tuple[int, int]) -> None:
        super().__init__()
        self.size = size
        self.prototypes = nn.Parameter(torch.empty(parts, channels))
        # Row by row.
        self.positions = nn.Parameter(torch.empty(size[0] * size[1], channels))
        for weight in (self.prototypes, self.positions):
            nn.init.kaiming_normal_(weight, nonlinearity="relu")

    def forward(self, x: Tensor) -> Tensor:
        """Return the masks (B, n, P) of a feature map (B, C, H, W).

        Raises:
            ConfigError: the feature map has another size.
        """
        if tuple(x.shape[2:]) != self.size:
            raise ConfigError(
                f"INPUT.SIZE_TEST: gives a feature map of {x.shape[2]} x {x.shape[3]}, but SAAI's position embedding "
                f"was built for {self.size[0]} x {self.size[1]}; use the image size of INPUT.SIZE_TRAIN"
            )
        # The positions' share is the same for all images.
        scores = self.prototypes @ x.flatten(2) + self.prototypes @ self.positions.T
        return scores.sigmoid()


class Neck(nn.Sequential):
    """A BNNeck that `PerModality` can copy: called with modalities and views, which it does not use."""

    def forward(self, x: Tensor, modalities: Any = None, views: Any = None) -> Tensor:
        """Normalize features (B, D, 1, 1)."""
        for layer in self:
            x = layer(x)
        return x
