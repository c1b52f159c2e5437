"""Poolings of the field that fast-reid does not have."""

from torch import Tensor, nn

from vireid_plugins.modeling.precision import without_autocast


class GeMAdd(nn.Module):
    """Generalised mean (mean(x^3) + 1e-12)^(1/3), the form of AGW, CAJ and MSCMNet; computed in float32.

    fast-reid's `GeneralizedMeanPooling`, IDKL's form, clamps x at 1e-6 instead; the two differ where a channel is zero.
    """

    def forward(self, x: Tensor) -> Tensor:
        """Pool a map (B, C, H, W) to (B, C, 1, 1)."""
        with without_autocast(x.device):
            return (x.float().pow(3).mean((2, 3), keepdim=True) + 1e-12).pow(1 / 3)


# By the name that `MODEL.HEADS.POOL_LAYER` takes, beside fast-reid's own.
POOLINGS: dict[str, type[nn.Module]] = {"GeMAdd": GeMAdd}
