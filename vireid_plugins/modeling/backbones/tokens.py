"""Sequences of a transformer, and the feature maps that its patches are."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

# Values of `MODEL.STREAMS.TOKENS`.
TOKENS = ("class", "patches", "mean")


@dataclass(frozen=True)
class Grid:
    """Layout of a sequence (B, T, C): tokens in front, the first one the class token, then the patches row by row.

    Attributes:
        height: h.
        width: w.
        prefix: number of tokens in front; T is that + h w. Registers and a token of distillation count, too.
    """

    height: int
    width: int
    prefix: int = 1

    def to_map(self, x: Tensor) -> Tensor:
        """Return the patches of a sequence (B, T, C) as a feature map (B, C, h, w)."""
        feature_map: Tensor = x[:, self.prefix :].transpose(1, 2).unflatten(2, (self.height, self.width))
        return feature_map

    def with_map(self, x: Tensor, feature_map: Tensor) -> Tensor:
        """Return a sequence with the patches of a feature map.

        Args:
            x: (B, T, C), whose tokens in front are kept.
            feature_map: (n B, C, h, w), whose row i belongs to row i mod B of `x`.

        Returns:
            (n B, T, C).
        """
        tokens = x[:, : self.prefix]
        if feature_map.shape[0] != x.shape[0]:
            tokens = tokens.repeat(feature_map.shape[0] // x.shape[0], 1, 1)
        return torch.cat([tokens, feature_map.flatten(2).transpose(1, 2)], dim=1)

    def pooled(self, x: Tensor, tokens: str) -> Tensor:
        """Return what a sequence (B, T, C) gives as the last feature map; see `MODEL.STREAMS.TOKENS`.

        Args:
            x: the sequence.
            tokens: `class`, `patches` or `mean`.

        Returns:
            (B, C, 1, 1), or (B, C, h, w) for `patches`.
        """
        if tokens == "patches":
            return self.to_map(x)
        token = x[:, 0] if tokens == "class" else x[:, self.prefix :].mean(1)
        return token[:, :, None, None]


class OnPatches(nn.Module):
    """A map module on the patches of a sequence; the class token stays as it is.

    Args:
        module: called as `module(x (B, C, h, w), modalities)`.
        grid: the sequence's layout.
    """

    def __init__(self, module: nn.Module, grid: Grid) -> None:
        super().__init__()
        self.module, self.grid = module, grid

    def forward(self, x: Tensor, modalities: Tensor | None = None) -> Tensor:
        """Transform a sequence (B, T, C) to one of the same shape."""
        return self.grid.with_map(x, self.module(self.grid.to_map(x), modalities))
