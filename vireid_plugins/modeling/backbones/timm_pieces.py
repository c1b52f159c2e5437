"""The pieces of timm's networks.

timm says where the stages of a network of maps end (`feature_info`). Of a transformer whose number of tokens does not
change a stage is a quarter of the blocks, as of fast-reid's ViT (`vit.py`).
"""

from collections.abc import Collection, Iterator
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn

from vireid_plugins.modeling.backbones.tokens import Grid
from vireid_plugins.modeling.backbones.vit import STAGES, FirstBlock, LastBlock

# Tokens in front of the patches, in this order.
PREFIX = ("cls_token", "dist_token", "reg_token")
Pieces = tuple[list[nn.Module], list[list[nn.Module]], Grid | None]


class TimmTokens(nn.Module):
    """Puts the tokens of a timm transformer in front of its patches and adds the positions.

    Args:
        model: whose tokens, positions, dropout and first norm are taken.

    Attributes:
        layout: of the sequence.
        grid: of the position embedding, which may have no rows for the tokens in front.
    """

    pos_embed: Tensor | None

    def __init__(self, model: Any) -> None:
        super().__init__()
        self.names = [name for name in PREFIX if getattr(model, name, None) is not None]
        for name in (*self.names, "pos_embed"):
            setattr(self, name, getattr(model, name, None))
        self.pos_drop, self.norm_pre = (getattr(model, name, nn.Identity()) for name in ("pos_drop", "norm_pre"))
        height, width = model.patch_embed.grid_size
        self.layout = Grid(height, width, sum(getattr(self, name).shape[1] for name in self.names))
        self.apart = self.pos_embed is not None and self.pos_embed.shape[1] == height * width
        self.grid = Grid(height, width, 0 if self.apart else self.layout.prefix)

    def forward(self, x: Tensor, modalities: Tensor | None = None) -> Tensor:
        """Return the sequence (B, T, C) of a map of patches (B, C, h, w)."""
        # `len` would fix the number of images of an exported network.
        in_front = [getattr(self, name).expand(x.shape[0], -1, -1) for name in self.names]
        patches, positions = x.flatten(2).transpose(1, 2), 0 if self.pos_embed is None else self.pos_embed
        if self.apart:
            tokens = torch.cat([*in_front, patches + positions], dim=1)
        else:
            tokens = torch.cat([*in_front, patches], dim=1) + positions
        out: Tensor = self.norm_pre(self.pos_drop(tokens))
        return out


class Patches(nn.Module):
    """A timm transformer's patch embedding, as a map."""

    def __init__(self, embed: Any) -> None:
        super().__init__()
        height, width = embed.grid_size
        self.embed, self.grid = embed, Grid(height, width, 0)

    def forward(self, x: Tensor) -> Tensor:
        """Return the patches (B, C, h, w) of images (B, 3, H, W)."""
        x = self.embed(x)
        # Networks of timm that take any image size have maps (B, h, w, C) here.
        return x.permute(0, 3, 1, 2) if x.ndim == 4 else self.grid.to_map(x)


class Rotated(nn.Module):
    """A block with rotary positions (DINOv3, EVA-02)."""

    turns: Tensor

    def __init__(self, block: nn.Module, turns: Tensor) -> None:
        super().__init__()
        self.block = block
        self.register_buffer("turns", turns, persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        """Transform a sequence (B, T, C)."""
        out: Tensor = self.block(x, rope=self.turns)
        return out


class ChannelsLast(nn.Module):
    """A block of maps (B, H, W, C) as one of maps (B, C, H, W), which the first one takes anyway."""

    def __init__(self, block: nn.Module, first: bool) -> None:
        super().__init__()
        self.block, self.first = block, first

    def forward(self, x: Tensor) -> Tensor:
        """Transform a map (B, C, H, W)."""
        out: Tensor = self.block(x if self.first else x.permute(0, 2, 3, 1))
        return out.permute(0, 3, 1, 2)


def cut_sequences(model: Any) -> Pieces:
    """Cut a transformer whose blocks have the same number of tokens.

    Raises:
        ValueError: its rotary positions are learned, so that every block has others, or it has fewer than four blocks.
        AttributeError: it is no such transformer.
    """
    tokens, blocks = TimmTokens(model), list(model.blocks)
    if len(blocks) < STAGES:
        raise ValueError(f"it has {len(blocks)} blocks")
    if (rope := getattr(model, "rope", None)) is not None:
        if next(rope.parameters(), None) is not None:
            raise ValueError("its rotary positions are learned")
        turns = rope.get_embed(shape=(tokens.layout.height, tokens.layout.width))
        blocks = [Rotated(block, turns) for block in blocks]
    norm = model.fc_norm if isinstance(model.norm, nn.Identity) else model.norm
    blocks[0], blocks[-1] = FirstBlock(tokens, blocks[0]), LastBlock(blocks[-1], norm)
    bounds = [number * len(blocks) // STAGES for number in range(STAGES + 1)]
    return [Patches(model.patch_embed)], [blocks[first:last] for first, last in pairwise(bounds)], tokens.layout


def cut_maps(model: Any, *, whole: bool = False) -> Pieces:
    """Cut a network of maps before the first of the last four of timm's stages, and after all but the last.

    What follows the last one, such as a norm, belongs to stage 4.

    Args:
        model: the network.
        whole: a stage that is no `nn.Sequential` is one block.

    Raises:
        ValueError: these stages are no parts of it.
    """
    ends = [entry["module"] for entry in model.feature_info[-STAGES:]]
    parts = list(_parts(model, "", () if whole else ends))
    found = [[index for index, (name, _) in enumerate(parts) if f"{name}.".startswith(f"{end}.")] for end in ends]
    if len(ends) < STAGES or not all(found):
        raise ValueError(f"what timm names its stages, {', '.join(ends)}, are no four parts of it")
    bounds = [0, found[0][0], *(indices[-1] + 1 for indices in found[:-1]), len(parts)]
    last = getattr(model, "output_fmt", "NCHW") == "NHWC"
    pieces = [
        [ChannelsLast(part, index == 0) if last else part for index, (_, part) in enumerate(parts) if index in span]
        for span in (range(*bounds_of) for bounds_of in pairwise(bounds))
    ]
    pieces = [[piece for piece in stage if not _does_nothing(piece)] for stage in pieces]
    return pieces[0], pieces[1:], None


def _parts(module: nn.Module, prefix: str, divided: Collection[str]) -> Iterator[tuple[str, nn.Module]]:
    """Yield the parts of a network, with their names, in the order in which it has them."""
    for key, child in module.named_children():
        name = f"{prefix}{key}"
        if isinstance(child, nn.Sequential) or (name in divided and next(child.children(), None) is not None):
            yield from _parts(child, f"{name}.", divided)
        else:
            yield name, child


def _does_nothing(module: nn.Module) -> bool:
    """Return whether a module is what timm leaves of poolings and classifiers."""
    leaves = [part for part in module.modules() if next(part.children(), None) is None]
    return all(isinstance(leaf, nn.Identity | nn.Dropout) for leaf in leaves)
