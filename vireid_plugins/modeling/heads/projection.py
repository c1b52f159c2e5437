"""Projection MLP for contrastive losses."""

from torch import Tensor, nn


class Projection(nn.Module):
    """Linear(C, C) - BN - ReLU - Linear(C, D) (WRIM-Net; the layers are known only from a secondary source).

    Args:
        channels: C.
        dim: D (`MODEL.HEADS.PROJECTION_DIM`).
    """

    def __init__(self, channels: int, dim: int) -> None:
        super().__init__()
        self.mlp = nn.Sequential(
            nn.Linear(channels, channels), nn.BatchNorm1d(channels), nn.ReLU(inplace=True), nn.Linear(channels, dim)
        )

    def forward(self, pooled: Tensor) -> Tensor:
        """Project (B, C) to (B, D)."""
        out: Tensor = self.mlp(pooled)
        return out
