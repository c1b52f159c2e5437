"""MPFR and SDCE in the spirit of ICRE (arXiv 2512.04522).

The paper's equations are not known to us. Stated: MPFR aggregates shallow features of the shared branches, SDCE
distills knowledge from them and guides the invariant ones. Second-hand: MPFR aligns three successive stages in scale
and channels, learns a spatial mask for each and fuses them; SDCE is a cross-attention, then a self-attention. The
layers are ours. Not a reproduction.
"""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vireid_plugins.errors import require_name

FUSIONS = ("sum", "concat")


class MPFR(nn.Module):
    """Multi-Perception Feature Refinement: one identity-guided feature map from several stages.

        A_s = ReLU BN Conv1x1(E_s), pooled to the size of F_d;  M_s = sigma(Conv1x1 ReLU BN Conv3x3(A_s))
        F_id = ReLU BN Conv3x3(sum_s M_s * A_s)

    Args:
        channels: channels of each stage.
        dim: d.
        softmax: masks by a softmax over the stages instead of a sigmoid each.
        fusion: "sum", or "concat" instead of the sum over s.

    Raises:
        ConfigError: the fusion is unknown.
    """

    def __init__(self, channels: Sequence[int], dim: int, softmax: bool, fusion: str) -> None:
        super().__init__()
        require_name("MODEL.ICRE.FUSION", fusion, FUSIONS)
        self.softmax, self.fusion = softmax, fusion
        self.align = nn.ModuleList(_conv(c, dim, 1) for c in channels)
        self.mask = nn.ModuleList(nn.Sequential(_conv(dim, dim // 4, 3), nn.Conv2d(dim // 4, 1, 1)) for _ in channels)
        self.fuse = _conv(dim * (len(channels) if fusion == "concat" else 1), dim, 3)

    def forward(self, x: Tensor, maps: Sequence[Tensor]) -> Tensor:
        """Return F_id (B, d, H, W) from `maps`, at the size of the deep feature map `x`."""
        aligned = [
            F.adaptive_avg_pool2d(align(map_), (x.shape[2], x.shape[3]))
            for align, map_ in zip(self.align, maps, strict=True)
        ]
        scores = torch.cat([mask(map_) for mask, map_ in zip(self.mask, aligned, strict=True)], dim=1)
        masks = (scores.softmax(1) if self.softmax else scores.sigmoid()).split(1, dim=1)
        masked = [mask * map_ for mask, map_ in zip(masks, aligned, strict=True)]
        fused: Tensor = self.fuse(torch.cat(masked, 1) if self.fusion == "concat" else torch.stack(masked).sum(0))
        return fused


class SDCE(nn.Module):
    """Semantic Distillation Cascade Enhancement: cross-attention to F_id, then self-attention.

        X = Conv1x1(F_d), Y = F_id, both as tokens with learned position embeddings
        X1 = X + CA(Q = LN X, K = V = LN Y), + FFN;  X2 = X1 + SA(LN X1), + FFN;  F_e = F_d + Conv1x1(LN X2)

    The last convolution starts at zero, so that the module starts as the identity.

    Args:
        channels: channels of F_d.
        size: height and width of F_d at `INPUT.SIZE_TRAIN`; position embeddings are interpolated to other sizes.
        dim: d.
        heads: heads of each attention.
    """

    def __init__(self, channels: int, size: Sequence[int], dim: int, heads: int) -> None:
        super().__init__()
        self.narrow, self.broad = nn.Conv2d(channels, dim, 1), nn.Conv2d(dim, channels, 1)
        nn.init.zeros_(self.broad.weight)
        nn.init.zeros_(self.broad.bias)  # type: ignore[arg-type]
        self.places = nn.Parameter(torch.zeros(1, dim, *size))
        self.cross, self.self_ = (nn.MultiheadAttention(dim, heads, batch_first=True) for _ in range(2))
        self.norms = nn.ModuleDict({name: nn.LayerNorm(dim) for name in ("x", "y", "ffn1", "x1", "ffn2", "out")})
        self.ffn1, self.ffn2 = (
            nn.Sequential(nn.Linear(dim, 4 * dim), nn.GELU(), nn.Linear(4 * dim, dim)) for _ in range(2)
        )

    def forward(self, x: Tensor, maps: Sequence[Tensor]) -> Tensor:
        """Return F_e (B, C, H, W) for F_d `x` (B, C, H, W) and F_id `maps[0]`."""
        places: Tensor = self.places
        if places.shape[2:] != x.shape[2:]:
            places = F.interpolate(places, x.shape[2:], mode="bilinear", align_corners=False)
        tokens, guide = ((map_ + places).flatten(2).transpose(1, 2) for map_ in (self.narrow(x), maps[0]))
        key = self.norms["y"](guide)
        tokens = tokens + self.cross(self.norms["x"](tokens), key, key, need_weights=False)[0]
        tokens = tokens + self.ffn1(self.norms["ffn1"](tokens))
        query = self.norms["x1"](tokens)
        tokens = tokens + self.self_(query, query, query, need_weights=False)[0]
        tokens = tokens + self.ffn2(self.norms["ffn2"](tokens))
        restored = self.norms["out"](tokens).transpose(1, 2).unflatten(2, x.shape[2:])
        out: Tensor = x + self.broad(restored)
        return out


def _conv(channels: int, out: int, kernel: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(channels, out, kernel, padding=kernel // 2, bias=False), nn.BatchNorm2d(out), nn.ReLU(inplace=True)
    )
