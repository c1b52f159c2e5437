"""The MLP whose output contrastive losses compare."""

from torch import Tensor, nn


class Projection(nn.Module):
    """Linear(C, C) - BN - ReLU - Linear(C, D), on the pooled feature (WRIM-Net; the layers are second-hand).

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
        """Map (B, C) to (B, D)."""
        out: Tensor = self.mlp(pooled)
        return out
