"""MIIM, Multi-dimension Interactive Information Mining, of WRIM-Net (ECCV 2024, arXiv 2408.10624, figure 2).

Stated by the paper: a batch norm, a compression, an attention over regions (GRI), a restoration, and the element-wise
product with the input feature map. Second-hand (a third party's module tree): batch norm without affine weights, kernel
and stride s and reduction r of the compression, 8 heads, a bias-free `qkv` and a `proj`, average pooling of keys and
values, a linear layer and a sigmoid before the nearest upsampling. The tree also shows a second batch norm without
weights, outside the module, and a ReLU; what they act on is not shown. Ours: the position of the layer norm, 2 x 2
pooling on the tokens, no residual around the attention, and the raw feature map in the product (`operand`). The
parameter counts that follow (1,246,720, 1,838,080, 788,480 and 3,149,824 in ResNet-50) are exact.
"""

from collections.abc import Sequence

import torch.nn.functional as F
from fastreid.config import CfgNode
from torch import Tensor, nn

from vireid_plugins.config.keys import arguments
from vireid_plugins.errors import ConfigError, require_name
from vireid_plugins.layers.streams import PerModality
from vireid_plugins.modeling.attention.build import ATTENTION_REGISTRY, MapShape

OPERANDS = ("raw", "normalized", "relu")
# A softmax over one key is 1 whatever the weights are: the gate is then the same everywhere and W_q, W_k never learn.
FEWEST = 2


@ATTENTION_REGISTRY.register()
class MIIM(nn.Module):
    """Gates a feature map by attention over its regions: X * G, or X * (1 + G) with `residual`.

    X is the raw feature map F, the normalized one BN(F), or ReLU(BN(F)). Regions at the bottom and right edges have
    fewer pixels if the stride does not divide the size; no row or column is left out.

    Args:
        channels: C of the feature map.
        reduction: r; tokens have C / r dimensions.
        stride: s, kernel and stride of the compression, one number or height and width.
        heads: number of attention heads.
        kv_pool: average pooling of the token grid for keys and values; 1 is none. At least two keys must remain.
        residual: add the operand itself: X * (1 + G) instead of X * G.
        operand: X in the product: the "raw" feature map, the "normalized" one (by MIIM's batch norm without weights),
            or the "relu" of the normalized one.

    Raises:
        ConfigError: C / r is not a multiple of `heads`, a stride or pooling is not a whole number above 0, or the
            operand is unknown.
    """

    def __init__(
        self,
        channels: int,
        reduction: int,
        stride: int | Sequence[int],
        *,
        heads: int = 8,
        kv_pool: int = 2,
        residual: bool = False,
        operand: str = "raw",
    ) -> None:
        super().__init__()
        dim = channels // reduction
        if channels % reduction or dim % heads:
            raise ConfigError(
                f"MODEL.ATTENTION.MIIM: {channels} channels / REDUCTION {reduction} must be whole and a multiple of "
                f"HEADS {heads}; set one of them"
            )
        if kv_pool < 1:
            raise ConfigError(f"MODEL.ATTENTION.MIIM.KV_POOL: must be at least 1 (no pooling), got {kv_pool}")
        require_name("MODEL.ATTENTION.MIIM.OPERAND", operand, OPERANDS)
        self.stride = _pair(stride)
        self.heads, self.kv_pool, self.residual, self.operand = heads, kv_pool, residual, operand
        self.norm = nn.BatchNorm2d(channels, affine=False)
        self.compress = nn.Conv2d(channels, dim, kernel_size=self.stride, stride=self.stride)
        self.token_norm = nn.LayerNorm(dim)
        self.qkv = nn.Linear(dim, 3 * dim, bias=False)
        self.proj = nn.Linear(dim, dim)
        self.restore = nn.Linear(dim, channels)

    @classmethod
    def from_config(cls, cfg: CfgNode, shape: MapShape) -> nn.Module:
        """Build from `MODEL.ATTENTION.MIIM`, one per modality if `SEPARATE` is set for this stage.

        Raises:
            ConfigError: a list does not have one entry per stage, or there are fewer than two keys or queries at the
                training or the test size.
        """
        node = cfg.MODEL.ATTENTION.MIIM
        for key in ("REDUCTION", "SEPARATE", "STRIDE"):
            if len(node[key]) != 4 and not (key == "STRIDE" and not node[key]):
                raise ConfigError(f"MODEL.ATTENTION.MIIM.{key}: needs one entry per stage (4), got {list(node[key])}")
        at = shape.stage - 1
        stride = node.STRIDE[at] if node.STRIDE else shape.to_last
        others = {
            key: value for key, value in arguments(node).items() if key not in ("reduction", "stride", "separate")
        }
        module = cls(shape.channels, node.REDUCTION[at], stride, **others)
        for key, size in shape.sizes.items():
            module.require_keys(size, f"MODEL.ATTENTION.STAGE{shape.stage}: MIIM at {key} {list(cfg.INPUT[key[6:]])}")
        return PerModality(module) if node.SEPARATE[at] else module

    def require_keys(self, size: Sequence[int], where: str = "MODEL.ATTENTION.MIIM") -> None:
        """Raise a `ConfigError` that starts with `where` unless a feature map of this height and width has two keys."""
        grid = [-(-n // s) for n, s in zip(size, self.stride, strict=True)]
        pooled = [-(-n // self.kv_pool) for n in grid]
        if pooled[0] * pooled[1] >= FEWEST:
            return
        h, w = size
        raise ConfigError(
            f"{where}: the {h} x {w} feature map at stride {self.stride[0]} x {self.stride[1]} is a grid of {grid[0]} "
            f"x {grid[1]} = {grid[0] * grid[1]} queries, and with KV_POOL {self.kv_pool} there are {pooled[0]} x "
            f"{pooled[1]} = {pooled[0] * pooled[1]} keys. With fewer than {FEWEST} the attention does nothing. Set "
            "MODEL.ATTENTION.MIIM.KV_POOL 1, MODEL.BACKBONE.LAST_STRIDE 1, a larger INPUT.SIZE_TRAIN and "
            "INPUT.SIZE_TEST, or a smaller MODEL.ATTENTION.MIIM.STRIDE"
        )

    def forward(self, x: Tensor, modalities: Tensor | None = None, views: Tensor | None = None) -> Tensor:
        """Gate a feature map (B, C, H, W).

        Raises:
            ConfigError: the feature map has fewer than two keys or queries.
        """
        normalized = self.norm(x)
        gate = self._gate(normalized)
        if self.operand != "raw":
            x = normalized.relu() if self.operand == "relu" else normalized
        return x * (1 + gate) if self.residual else x * gate

    def gate(self, x: Tensor) -> Tensor:
        """Return G (B, C, H, W), each entry between 0 and 1 and equal over the s x s pixels of a region."""
        return self._gate(self.norm(x))

    def _gate(self, normalized: Tensor) -> Tensor:
        H, W = normalized.shape[2:]
        self.require_keys((H, W))
        missing = [-W % self.stride[1], -H % self.stride[0]]
        if any(missing):
            # Zero is the mean of the normalized feature map, so padding adds no information. Padding the bottom and the
            # right leaves all other regions where they are.
            normalized = F.pad(normalized, (0, missing[0], 0, missing[1]))
        grid = self.compress(normalized)
        grid = self.token_norm(grid.permute(0, 2, 3, 1))
        regions = self.restore(self._interact(grid)).sigmoid()
        restored = F.interpolate(regions.permute(0, 3, 1, 2), size=normalized.shape[-2:], mode="nearest")
        return restored[:, :, :H, :W] if any(missing) else restored

    def _interact(self, grid: Tensor) -> Tensor:
        """Let every region attend to the pooled regions (GRI): (B, h, w, d) to (B, h, w, d)."""
        B, h, w, d = grid.shape
        pooled = grid
        if self.kv_pool > 1:
            # A window that crosses the edge averages only the tokens inside.
            kernel = (min(self.kv_pool, h), min(self.kv_pool, w))
            pooled = F.avg_pool2d(grid.permute(0, 3, 1, 2), kernel, ceil_mode=True).permute(0, 2, 3, 1)
        weight_q, weight_kv = self.qkv.weight.split([d, 2 * d])
        query = self._heads(F.linear(grid, weight_q))
        key, value = (self._heads(part) for part in F.linear(pooled, weight_kv).chunk(2, dim=-1))
        mixed = F.scaled_dot_product_attention(query, key, value)
        out: Tensor = self.proj(mixed.transpose(1, 2).reshape(B, h, w, d))
        return out

    def _heads(self, tokens: Tensor) -> Tensor:
        """Rearrange (B, h, w, d) to (B, heads, h * w, d / heads)."""
        split: Tensor = tokens.flatten(1, 2).unflatten(-1, (self.heads, -1))
        return split.transpose(1, 2)


def _pair(stride: int | Sequence[int]) -> tuple[int, int]:
    """Return height and width of a stride."""
    pair = (stride, stride) if isinstance(stride, int) else tuple(stride) if isinstance(stride, list | tuple) else ()
    if len(pair) != 2 or not all(isinstance(n, int) and n >= 1 for n in pair):
        raise ConfigError(
            "MODEL.ATTENTION.MIIM.STRIDE: each entry must be a whole number of at least 1 or a pair [height, width] of "
            f"them, got {stride}"
        )
    return pair[0], pair[1]
