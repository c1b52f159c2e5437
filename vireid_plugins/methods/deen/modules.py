"""MFA and DEE, the modules of DEEN (Zhang and Wang, CVPR 2023; behavior of the repository ZYK100/LLCM).

MFA relates the feature map of a stage (high-level) to the refined one before it (low-level): CNL, a non-local block
over channels, then PNL, one over positions. Both divide scores by their number instead of applying a softmax, and start
the output's batch norm at zero. DEE computes two further embeddings of a feature map. All of this is the released
code's behavior.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vireid_plugins.errors import ConfigError
from vireid_plugins.modeling.attention.non_local import averaged_product


class _Relation(nn.Module):
    """Projections to `inner` channels, theta (high-level), phi and g (low-level); W restores the high-level width."""

    def __init__(self, high: int, low: int, inner: int, stride: int = 1) -> None:
        super().__init__()
        self.theta = nn.Conv2d(high, inner, 1)
        self.phi = nn.Conv2d(low, inner, 1, stride=stride)
        self.g = nn.Conv2d(low, inner, 1, stride=stride)
        self.W = nn.Conv2d(inner, high, 1)
        self.norm = nn.BatchNorm2d(high)
        nn.init.zeros_(self.norm.weight)

    def added(self, x: Tensor, mixed: Tensor) -> Tensor:
        """Add the projected mixture (B, inner, H * W) to `x`."""
        out: Tensor = self.norm(self.W(mixed.reshape(x.shape[0], -1, *x.shape[2:])))
        return x + out


class CNL(_Relation):
    """Channel non-local block: x + BN(W(theta(x) phi(low)^T g(low) / inner)), with a score per pair of channels.

    Args:
        high: channels of the high-level feature map.
        low: channels of the low-level feature map.
        inner: inner channels.
        stride: height of the low-level feature map / height of the high-level one. The released code strides phi and W
            instead of phi and g, which is the same.
    """

    def forward(self, x: Tensor, low: Tensor) -> Tensor:
        """Relate `x` (B, C, H, W) to `low` (B, C', stride H, stride W)."""
        theta, phi, g = self.theta(x).flatten(2), self.phi(low).flatten(2), self.g(low).flatten(2)
        return self.added(x, torch.bmm(averaged_product(theta, phi, theta.shape[1]), g))


class PNL(_Relation):
    """Position non-local block: every high-level position gets a weighted sum of g over all low-level positions.

    It has no stride: the low-level feature map keeps all its positions, whatever its size.

    Args:
        high: channels of the high-level feature map.
        low: channels of the low-level feature map.
        inner: inner channels.
        fold: view the `inner` channels as twice as many rows, which folds pairs of positions (released code).
    """

    def __init__(self, high: int, low: int, inner: int, fold: bool) -> None:
        super().__init__(high, low, inner)
        self.rows = 2 * inner if fold else inner

    def forward(self, x: Tensor, low: Tensor) -> Tensor:
        """Relate `x` (B, C, H, W) to `low` (B, C', H', W').

        Raises:
            ConfigError: the number of positions is odd and cannot be folded.
        """
        for part in (x, low):
            height, width = part.shape[2:]
            if self.rows != self.theta.out_channels and height * width % 2:
                raise ConfigError(
                    f"MODEL.DEEN.PNL_FOLD: the {height} x {width} positions of a feature map cannot be folded in "
                    "pairs; choose an INPUT.SIZE_TRAIN and INPUT.SIZE_TEST whose feature maps have an even number of "
                    "positions (multiples of 32 do), or set it to False"
                )
        theta, phi, g = (
            part.reshape(x.shape[0], self.rows, -1) for part in (self.theta(x), self.phi(low), self.g(low))
        )
        # (g phi^T) theta is the same as g (phi^T theta), without a matrix over pairs of positions.
        return self.added(x, torch.bmm(averaged_product(g, phi, phi.shape[2]), theta))


class MFA(nn.Module):
    """Multi-stage feature aggregation: CNL, then PNL, of a feature map with the refined one before it.

    Args:
        channels: channels of the feature map.
        low: channels of the refined feature map before it.
        stride: height of the refined feature map / height of this one, for CNL.
        fold: see `PNL`.
    """

    def __init__(self, channels: int, low: int, stride: int, fold: bool) -> None:
        super().__init__()
        self.cnl = CNL(channels, low, low, stride)
        self.pnl = PNL(channels, low, low // 2, fold)

    def forward(self, x: Tensor, maps: list[Tensor]) -> Tensor:
        """Refine `x` (B, C, H, W) with `maps[0]`."""
        out: Tensor = self.pnl(self.cnl(x, maps[0]), maps[0])
        return out


class DEE(nn.Module):
    """Two further embeddings of a feature map, each conv1x1(relu(mean of three dilated 3x3 convolutions)).

    Convolution weights are drawn from a normal distribution of variance 2 / fan-in (Kaiming); biases keep torch's
    initialization.

    Args:
        channels: C of the feature map; the dilated convolutions have C / 4.
        dropout: dropout probability of all three embeddings.
    """

    def __init__(self, channels: int, dropout: float) -> None:
        super().__init__()
        inner = channels // 4
        self.dilated = nn.ModuleList(
            nn.ModuleList(nn.Conv2d(channels, inner, 3, padding=d, dilation=d, bias=False) for d in (1, 2, 3))
            for _ in range(2)
        )
        self.out = nn.ModuleList(nn.Conv2d(inner, channels, 1) for _ in range(2))
        self.dropout = dropout
        for conv in self.modules():
            if isinstance(conv, nn.Conv2d):
                nn.init.kaiming_normal_(conv.weight)

    def forward(self, x: Tensor, maps: list[Tensor] | None = None) -> Tensor:
        """Return (3B, C, H, W): `x` (B, C, H, W), its first branch, its second branch."""
        branches = [
            out(F.relu(torch.stack([conv(x) for conv in convs]).mean(0)))  # type: ignore[attr-defined]
            for convs, out in zip(self.dilated, self.out, strict=True)
        ]
        return F.dropout(torch.cat([x, *branches]), self.dropout, self.training)
