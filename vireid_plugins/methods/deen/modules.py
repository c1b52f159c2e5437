"""MFA and DEE, the modules of DEEN (Zhang and Wang, CVPR 2023; behavior of the repository ZYK100/LLCM).

MFA relates the map of a stage to the refined map before it: CNL, a non-local block over channels, then PNL, one over
positions. In both, scores are divided by their number instead of a softmax, and the batch norm of the output starts at
zero. DEE makes two further embeddings of a map. All of this is the released code's behavior.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vireid_plugins.errors import ConfigError
from vireid_plugins.modeling.attention.build import ATTENTION_REGISTRY
from vireid_plugins.modeling.attention.non_local import averaged_product


class _Relation(nn.Module):
    """theta from the high map, phi and g from the low map, of `inner` channels; W back to the high map's channels."""

    def __init__(self, high: int, low: int, inner: int, stride: int = 1) -> None:
        super().__init__()
        self.theta = nn.Conv2d(high, inner, 1)
        self.phi = nn.Conv2d(low, inner, 1, stride=stride)
        self.g = nn.Conv2d(low, inner, 1, stride=stride)
        self.W = nn.Conv2d(inner, high, 1)
        self.norm = nn.BatchNorm2d(high)
        nn.init.zeros_(self.norm.weight)

    def added(self, x: Tensor, mixed: Tensor) -> Tensor:
        """Return the high map with the mixture (B, inner, H * W) added."""
        out: Tensor = self.norm(self.W(mixed.reshape(x.shape[0], -1, *x.shape[2:])))
        return x + out


class CNL(_Relation):
    """Channel non-local block: x + BN(W(theta(x) phi(low)^T g(low) / inner)), a matrix of channel by channel scores.

    Args:
        high: channels of the high map.
        low: channels of the low map.
        inner: channels between.
        stride: height of the low map / height of the high one. The released code strides phi and W instead of phi and
            g, which is the same.
    """

    def forward(self, x: Tensor, low: Tensor) -> Tensor:
        """Relate the high map (B, C, H, W) to a lower one (B, C', stride H, stride W)."""
        theta, phi, g = self.theta(x).flatten(2), self.phi(low).flatten(2), self.g(low).flatten(2)
        return self.added(x, averaged_product(theta, phi, theta.shape[1]) @ g)


class PNL(_Relation):
    """Position non-local block: every position of the high map sums g over all positions of the low map.

    It is never strided: the low map keeps all its positions, whatever its size.

    Args:
        high: channels of the high map.
        low: channels of the low map.
        inner: channels between.
        fold: as released, view the `inner` channels as twice as many rows, which folds pairs of positions.
    """

    def __init__(self, high: int, low: int, inner: int, fold: bool) -> None:
        super().__init__(high, low, inner)
        self.rows = 2 * inner if fold else inner

    def forward(self, x: Tensor, low: Tensor) -> Tensor:
        """Relate the high map (B, C, H, W) to a lower one (B, C', H', W').

        Raises:
            ConfigError: an odd number of positions, which cannot be folded.
        """
        for part in (x, low):
            height, width = part.shape[2:]
            if self.rows != self.theta.out_channels and height * width % 2:
                raise ConfigError(
                    f"MODEL.DEEN.PNL_FOLD: the {height} x {width} positions of a map cannot be folded in pairs; choose "
                    "an INPUT.SIZE_TRAIN and SIZE_TEST whose maps have an even number of positions (multiples of 32 "
                    "do), or set it to False"
                )
        theta, phi, g = (
            part.reshape(x.shape[0], self.rows, -1) for part in (self.theta(x), self.phi(low), self.g(low))
        )
        # (g phi^T) theta is the same as g (phi^T theta), without a matrix over pairs of positions.
        return self.added(x, averaged_product(g, phi, phi.shape[2]) @ theta)


@ATTENTION_REGISTRY.register()
class MFA(nn.Module):
    """CNL, then PNL, of a map with the refined map before it.

    Args:
        channels: of the new map.
        low: channels of the refined map before it.
        stride: height of the refined map / height of the new one, for CNL.
        fold: see `PNL`.
    """

    def __init__(self, channels: int, low: int, stride: int, fold: bool) -> None:
        super().__init__()
        self.cnl = CNL(channels, low, low, stride)
        self.pnl = PNL(channels, low, low // 2, fold)

    def forward(self, x: Tensor, maps: list[Tensor]) -> Tensor:
        """Refine `x` (B, C, H, W) by `maps[0]`."""
        out: Tensor = self.pnl(self.cnl(x, maps[0]), maps[0])
        return out


@ATTENTION_REGISTRY.register()
class DEE(nn.Module):
    """Two further embeddings of a map, each conv1x1(relu(mean of three dilated 3x3 convolutions)).

    The convolutions start from a normal distribution of variance 2 / fan-in (Kaiming), their biases as torch's.

    Args:
        channels: C of the map; C / 4 inside.
        dropout: probability, of all three.
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
        """Map (B, C, H, W) to (3B, C, H, W): the map, its first branch, its second branch."""
        branches = [
            out(F.relu(torch.stack([conv(x) for conv in convs]).mean(0)))  # type: ignore[attr-defined]
            for convs, out in zip(self.dilated, self.out, strict=True)
        ]
        return F.dropout(torch.cat([x, *branches]), self.dropout, self.training)
