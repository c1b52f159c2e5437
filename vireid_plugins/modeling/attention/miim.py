"""MIIM, Multi-dimension Interactive Information Mining, of WRIM-Net (ECCV 2024, arXiv 2408.10624, figure 2).

Stated by the paper: a batch norm, a compression, an attention over regions (GRI), a restoration, and the element-wise
product with the input map. Second-hand (a third party's module tree): batch norm without affine weights, kernel and
stride s and reduction r of the compression, 8 heads, a bias-free `qkv` and a `proj`, average pooling of keys and
values, a linear layer and a sigmoid before the nearest upsampling. Ours: where the layer norm stands, that the pooling
is 2 x 2 on the tokens, no residual around the attention, and that the product takes the raw map. The parameter counts
that follow (1,246,720, 1,838,080, 788,480 and 3,149,824 in ResNet-50) are exact.
"""

import torch.nn.functional as F
from fastreid.config import CfgNode
from torch import Tensor, nn

from vireid_plugins.errors import ConfigError
from vireid_plugins.modeling.attention.build import ATTENTION_REGISTRY, MapShape
from vireid_plugins.modeling.routing import PerModality


@ATTENTION_REGISTRY.register()
class MIIM(nn.Module):
    """Gates a map by an attention over its regions: F * G, or F * (1 + G) with `residual`.

    Args:
        channels: C of the map.
        reduction: r, tokens have C / r dimensions.
        stride: s, kernel and stride of the compression.
        heads: heads of the attention.
        kv_pool: average pooling of the token grid for keys and values; 1 is none.
        residual: add the map itself.

    Raises:
        ConfigError: C / r is not a multiple of `heads`.
    """

    def __init__(
        self, channels: int, reduction: int, stride: int, heads: int = 8, kv_pool: int = 2, residual: bool = False
    ) -> None:
        super().__init__()
        dim = channels // reduction
        if channels % reduction or dim % heads:
            raise ConfigError(
                f"MODEL.ATTENTION.MIIM: {channels} channels / REDUCTION {reduction} must be whole and a multiple of "
                f"HEADS {heads}; set one of them"
            )
        self.heads, self.kv_pool, self.residual = heads, kv_pool, residual
        self.norm = nn.BatchNorm2d(channels, affine=False)
        self.compress = nn.Conv2d(channels, dim, kernel_size=stride, stride=stride)
        self.token_norm = nn.LayerNorm(dim)
        self.qkv = nn.Linear(dim, 3 * dim, bias=False)
        self.proj = nn.Linear(dim, dim)
        self.restore = nn.Linear(dim, channels)

    @classmethod
    def from_config(cls, cfg: CfgNode, shape: MapShape) -> nn.Module:
        """Build from `MODEL.ATTENTION.MIIM`, one a modality where `SEPARATE` says so for this stage."""
        node = cfg.MODEL.ATTENTION.MIIM
        for key in ("REDUCTION", "SEPARATE", "STRIDE"):
            if len(node[key]) != 4 and not (key == "STRIDE" and not node[key]):
                raise ConfigError(f"MODEL.ATTENTION.MIIM.{key}: needs one entry a stage (4), got {list(node[key])}")
        at = shape.stage - 1
        stride = node.STRIDE[at] if node.STRIDE else shape.to_last
        module = cls(shape.channels, node.REDUCTION[at], stride, node.HEADS, node.KV_POOL, node.RESIDUAL)
        return PerModality(module) if node.SEPARATE[at] else module

    def forward(self, x: Tensor, modalities: Tensor | None = None, views: Tensor | None = None) -> Tensor:
        """Map (B, C, H, W) to (B, C, H, W)."""
        gate = self.gate(x)
        return x * (1 + gate) if self.residual else x * gate

    def gate(self, x: Tensor) -> Tensor:
        """Return G (B, C, H, W), each entry between 0 and 1 and equal over the s x s pixels of a region."""
        grid = self.compress(self.norm(x))
        grid = self.token_norm(grid.permute(0, 2, 3, 1))
        regions = self.restore(self._interact(grid)).sigmoid()
        return F.interpolate(regions.permute(0, 3, 1, 2), size=x.shape[-2:], mode="nearest")

    def _interact(self, grid: Tensor) -> Tensor:
        """Let every region attend to the pooled regions (GRI): (B, h, w, d) to (B, h, w, d)."""
        B, h, w, d = grid.shape
        pooled = grid
        if self.kv_pool > 1:
            kernel = (min(self.kv_pool, h), min(self.kv_pool, w))
            pooled = F.avg_pool2d(grid.permute(0, 3, 1, 2), kernel).permute(0, 2, 3, 1)
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
