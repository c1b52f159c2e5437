"""ALB, the information adoptive lossless block of MSCMNet's MIMB (Pattern Recognition 2025, arXiv 2311.14395).

As in the released code; the paper's equations were not available to us. Channels are the tokens, of length H * W:

    d = LN(flatten(conv1x1(deep -> inner))),  s = LN(flatten(conv(shallow -> inner)))
    d <- d + 0.1 s;  y = d + MHA(Q = s, K = s, V = d);  y <- y + MLP(LN y);  out = conv1x1(inner -> deep)(y)

with an MLP of four times the length and QuickGELU, and no outer residual. A block that relates the deep feature map to
itself has y = d + MHA(d, d, d). The outer residual is an option of ours.
"""

from collections.abc import Sequence

import torch.nn.functional as F
from torch import Tensor, nn

from vireid_plugins.errors import ConfigError
from vireid_plugins.layers.precision import full_precision, without_autocast


class ALB(nn.Module):
    """Relates a deep feature map to a shallower one, or to itself.

    Args:
        channels: channels of the deep feature map.
        shallow: channels of the shallower feature map; 0 relates the deep one to itself.
        scale: height of the shallower feature map / height of the deep one.
        size: height and width of the deep feature map.
        inner: number of tokens.
        head_dim: dimension of an attention head.
        residual: add the deep feature map to the output.

    Raises:
        ConfigError: `head_dim` does not divide H * W; the message lists the divisors.
    """

    def __init__(
        self,
        channels: int,
        shallow: int,
        scale: int,
        size: Sequence[int],
        inner: int,
        head_dim: int,
        residual: bool = False,
    ) -> None:
        super().__init__()
        length = size[0] * size[1]
        if length % head_dim:
            divisors = ", ".join(str(n) for n in range(1, length + 1) if length % n == 0)
            raise ConfigError(
                f"MODEL.MSCM.HEAD_DIM: {head_dim} does not divide the {size[0]} x {size[1]} = {length} positions of "
                f"the deep feature map at INPUT.SIZE_TRAIN; these do: {divisors}"
            )
        self.size, self.residual = tuple(size), residual
        self.narrow = nn.Conv2d(channels, inner, 1)
        self.broad = nn.Conv2d(inner, channels, 1)
        if shallow:
            self.shallow = nn.Conv2d(shallow, inner, scale + 2, stride=scale, padding=1 if scale == 2 else scale // 2)
            self.shallow_norm = nn.LayerNorm(length)
        self.related = bool(shallow)
        self.deep_norm = nn.LayerNorm(length)
        self.mlp_norm = nn.LayerNorm(length)
        self.attention = nn.MultiheadAttention(length, length // head_dim, batch_first=True)
        self.mlp = nn.Sequential(nn.Linear(length, 4 * length), QuickGELU(), nn.Linear(4 * length, length))

    def forward(self, x: Tensor, maps: Sequence[Tensor]) -> Tensor:
        """Return the deep feature map `x` (B, C, H, W) after relating it to `maps[0]`, or to itself.

        Raises:
            ConfigError: `x` does not have the size that the block was built for.
        """
        if tuple(x.shape[2:]) != self.size:
            raise ConfigError(
                f"INPUT.SIZE_TEST: must equal INPUT.SIZE_TRAIN; MSCMNet was built for feature maps of {self.size}, "
                f"got {tuple(x.shape[2:])}"
            )
        # Not `len`, which an exporter takes for a constant.
        B = x.shape[0]
        # Tokens of all images in one matrix (B * inner, H * W), which a linear layer takes as it is.
        deep = _float32(self.deep_norm, self.narrow(x).flatten(2).flatten(0, 1))
        query = None
        if self.related:
            query = _float32(self.shallow_norm, self.shallow(maps[0]).flatten(2).flatten(0, 1))
            deep = deep + 0.1 * query
        y = deep + self._attend(query, deep, B)
        y = y + self.mlp(_float32(self.mlp_norm, y))
        out: Tensor = self.broad(y.view(B, -1, *x.shape[2:]))
        return out + x if self.residual else out

    def _attend(self, query: Tensor | None, deep: Tensor, images: int) -> Tensor:
        """Return what `self.attention(query, query, deep)` does on tokens (B * inner, H * W); None is `deep` itself.

        Queries and keys come from one product, with half as many calls as torch's module takes.
        """
        weight, bias, heads = self.attention.in_proj_weight, self.attention.in_proj_bias, self.attention.num_heads

        def split(projected: Tensor, count: int) -> Sequence[Tensor]:
            """Return `count` tensors (B, heads, inner, head_dim)."""
            return projected.view(images, -1, count, heads, deep.shape[1] // heads).permute(2, 0, 3, 1, 4).unbind()

        if query is None:
            q, k, v = split(F.linear(deep, weight, bias), 3)
        else:
            rows = [2 * deep.shape[1], deep.shape[1]]
            (weight, weight_v), (bias, bias_v) = weight.split(rows), bias.split(rows)
            q, k = split(F.linear(query, weight, bias), 2)
            (v,) = split(F.linear(deep, weight_v, bias_v), 1)
        mixed = F.scaled_dot_product_attention(q, k, v)
        out: Tensor = self.attention.out_proj(mixed.transpose(1, 2).reshape(deep.shape))
        return out


class QuickGELU(nn.Module):
    """x sigma(1.702 x)."""

    def forward(self, x: Tensor) -> Tensor:
        """Apply the function to each element."""
        return x * (1.702 * x).sigmoid()


def _float32(norm: nn.Module, x: Tensor) -> Tensor:
    """Apply a layer norm in float32, inside autocast too."""
    with without_autocast(x.device):
        out: Tensor = norm(full_precision(x))
        return out
