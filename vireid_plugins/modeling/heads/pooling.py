"""Pooling layers that fast-reid does not have."""

from torch import Tensor, nn

from vireid_plugins.layers.precision import full_precision, without_autocast


class GeMAdd(nn.Module):
    """Generalized mean (mean(x^3) + 1e-12)^(1/3), as in AGW, CAJ and MSCMNet; computed in float32.

    fast-reid's `GeneralizedMeanPooling`, which IDKL uses, clamps x at 1e-6 instead; the two differ for channels that
    are zero. AGW's formula is undefined if the mean is negative, as can happen on backbones that do not end with a
    ReLU; here such a channel is pooled to 1e-4, like a zero channel.
    """

    def forward(self, x: Tensor) -> Tensor:
        """Pool a feature map (B, C, H, W) to (B, C, 1, 1)."""
        with without_autocast(x.device):
            return (full_precision(x).pow(3).mean((2, 3), keepdim=True).clamp_min(0) + 1e-12).pow(1 / 3)


# Values of `MODEL.HEADS.POOL_LAYER` in addition to fast-reid's.
POOLINGS: dict[str, type[nn.Module]] = {"GeMAdd": GeMAdd}
