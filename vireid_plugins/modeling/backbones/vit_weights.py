"""Weights of vision transformers from other sources, as fast-reid's ViT has them.

Accepted are timm's names (also JX, DINO, MAE and DeiT), torchvision's, and those of TransReID's code (`base.` before
timm's). Classifiers, decoders and the second token of a distilled DeiT are left out. A position embedding of another
grid is resized as TransReID's and PMT's code does: bilinearly, without aligned corners, the class token's as it is.
"""

import logging
import math
import re
from collections.abc import Collection, Mapping

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vireid_plugins.modeling.backbones.names import register_names
from vireid_plugins.modeling.backbones.tokens import Grid

logger = logging.getLogger("fastreid." + __name__)
# What ImageNet training, pre-training and re-identification put around the network.
AROUND = ("head", "pre_logits", "fc_norm", "decoder", "mask_token", "dist_token", "sie_embed")
BASE = "base."
PATCH_WEIGHT, POSITIONS, DISTILLED = "patch_embed.proj.weight", "pos_embed", "dist_token"
# torchvision's names; older files of its weights have linear_1 and linear_2.
TORCHVISION = (
    (r"class_token", "cls_token"),
    (r"encoder\.pos_embedding", POSITIONS),
    (r"conv_proj\.(.*)", r"patch_embed.proj.\1"),
    (r"encoder\.ln\.(.*)", r"norm.\1"),
    (r"encoder\.layers\.encoder_layer_(\d+)\.ln_([12])\.(.*)", r"blocks.\1.norm\2.\3"),
    (r"encoder\.layers\.encoder_layer_(\d+)\.self_attention\.in_proj_(.*)", r"blocks.\1.attn.qkv.\2"),
    (r"encoder\.layers\.encoder_layer_(\d+)\.self_attention\.out_proj\.(.*)", r"blocks.\1.attn.proj.\2"),
    (r"encoder\.layers\.encoder_layer_(\d+)\.mlp\.(?:0|linear_1)\.(.*)", r"blocks.\1.mlp.fc1.\2"),
    (r"encoder\.layers\.encoder_layer_(\d+)\.mlp\.(?:3|linear_2)\.(.*)", r"blocks.\1.mlp.fc2.\2"),
    (r"heads\.(.*)", r"head.\1"),
)


@register_names("build_vit_backbone")
def rename_vit(names: Collection[str]) -> dict[str, str]:
    """Return timm's names, which are fast-reid's, for the weights of a ViT."""
    new_names = {}
    for name in names:
        plain = name.removeprefix(BASE)
        for pattern, replacement in TORCHVISION:
            match = re.fullmatch(pattern, plain)
            if match:
                plain = match.expand(replacement)
                break
        new_names[name] = plain
    return new_names


def prepared(
    backbone: nn.Module, given: Mapping[str, Tensor], source: str, *, shortened: bool = False
) -> dict[str, Tensor]:
    """Return the tensors of a file in the form that a ViT of this grid and depth has.

    Args:
        backbone: fast-reid's ViT, not yet cut.
        given: the file's tensors by fast-reid's names (`rename_vit`).
        source: the file, for messages.
        shortened: the network has the first blocks of the file's (`MODEL.VIT.BLOCKS`).
    """
    own = backbone.state_dict()
    kept = {name: value for name, value in given.items() if not name.startswith(AROUND)}
    if shortened:
        count = len(backbone.blocks)  # type: ignore[arg-type]
        kept = {name: value for name, value in kept.items() if _block(name) < count}
    weight = kept.get(PATCH_WEIGHT)
    if weight is not None and weight.ndim == 2 and weight.numel() == own[PATCH_WEIGHT].numel():
        kept[PATCH_WEIGHT] = weight.view(own[PATCH_WEIGHT].shape)
    positions = kept.get(POSITIONS)
    if positions is not None and positions.ndim == 3:
        if DISTILLED in given:
            positions = torch.cat([positions[:, :1], positions[:, 2:]], 1)
        embed = backbone.patch_embed
        kept[POSITIONS] = resized_positions(positions, Grid(embed.num_y, embed.num_x), source)  # type: ignore[union-attr, arg-type]
    return kept


def _block(name: str) -> int:
    match = re.match(r"blocks\.(\d+)\.", name)
    return int(match[1]) if match else -1


def resize_positions(positions: Tensor, old: Grid, new: Grid) -> Tensor:
    """Return a position embedding (1, 1 + h w, C) for another grid; the class token's position is kept.

    Args:
        positions: (1, 1 + h w, C).
        old: its grid.
        new: the grid that it is needed for.
    """
    if old == new:
        return positions
    size = (new.height, new.width)
    patches = F.interpolate(old.to_map(positions), size=size, mode="bilinear", align_corners=False)
    return new.with_map(positions, patches)


def resized_positions(positions: Tensor, grid: Grid, source: str) -> Tensor:
    """Return the position embedding of a file for `grid`, and log it if it was resized.

    Args:
        positions: (1, 1 + h w, C); a number of positions that no grid has is returned as it is.
        grid: the network's.
        source: the file, for messages.
    """
    count = positions.shape[1] - grid.prefix
    if count == grid.height * grid.width or count < 1:
        return positions
    old = grid_of(count, grid)
    logger.info(
        *("position embedding of %s resized from %d x %d to %d x %d patches", source),
        *(old.height, old.width, grid.height, grid.width),
    )
    return resize_positions(positions.float(), old, grid).to(positions.dtype)


def grid_of(count: int, like: Grid) -> Grid:
    """Return the grid of so many positions, of which a file does not hold the sides.

    A square, as after training on ImageNet, else the sides whose ratio is nearest to that of `like`.
    """
    side = math.isqrt(count)
    if side * side == count:
        return Grid(side, side, like.prefix)
    wanted = math.log(like.height / like.width)
    pairs = [(count // w, w) for w in range(1, count + 1) if count % w == 0]
    height, width = min(pairs, key=lambda pair: abs(math.log(pair[0] / pair[1]) - wanted))
    return Grid(height, width, like.prefix)
