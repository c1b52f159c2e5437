"""The pattern maps of MPANet (Wu et al., CVPR 2021; behavior of the repository DoubtedSteam/MPANet)."""

from torch import Tensor, nn


class PatternMaps(nn.Module):
    """A = sigmoid(conv1x1(F)), a mask per part.

    Args:
        channels: C of the feature map.
        parts: n.
    """

    def __init__(self, channels: int, parts: int) -> None:
        super().__init__()
        self.score = nn.Conv2d(channels, parts, 1)
        nn.init.zeros_(self.score.bias)  # type: ignore[arg-type]  # it has one

    def forward(self, x: Tensor) -> Tensor:
        """Return the masks (B, n, P) of a feature map (B, C, H, W)."""
        masks: Tensor = self.score(x).sigmoid().flatten(2)
        return masks
