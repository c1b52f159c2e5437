"""Poolings of the field that fast-reid does not have."""

from torch import Tensor, nn

from vireid_plugins.layers.precision import full_precision, without_autocast


class GeMAdd(nn.Module):
    """Generalised mean (mean(x^3) + 1e-12)^(1/3), the form of AGW, CAJ and MSCMNet; computed in float32.

    fast-reid's `GeneralizedMeanPooling`, IDKL's form, clamps x at 1e-6 instead; the two differ where a channel is zero.
    AGW's form has no value where the mean is negative, which happens on backbones that do not end with a ReLU; ours
    pools such a channel to 1e-4, as one that is zero.
    """

    def forward(self, x: Tensor) -> Tensor:
        """Pool a map (B, C, H, W) to (B, C, 1, 1)."""
        with without_autocast(x.device):
            return (full_precision(x).pow(3).mean((2, 3), keepdim=True).clamp_min(0) + 1e-12).pow(1 / 3)


# By the name that `MODEL.HEADS.POOL_LAYER` takes, beside fast-reid's own.
POOLINGS: dict[str, type[nn.Module]] = {"GeMAdd": GeMAdd}
