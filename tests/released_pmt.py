"""PMT's network filled by the formula of its fixture, and the inputs of its fixture."""

import zlib
from functools import cache
from typing import Any

import numpy as np
import torch
from released import FIXTURES, Shape, filled, shapes
from torch import Tensor

RS = np.random.RandomState
POSITION, TOKEN = "base.pos_embed", "base.cls_token"
# Pixels are the network's own, and nothing is random.
PLAIN = [
    *("MODEL.PIXEL_MEAN", "[0.0, 0.0, 0.0]", "MODEL.PIXEL_STD", "[1.0, 1.0, 1.0]"),
    *("MODEL.BACKBONE.DROP_RATIO", "0.0", "MODEL.BACKBONE.DROP_PATH_RATIO", "0.0"),
]


@cache
def fixture() -> dict[str, np.ndarray]:
    with np.load(FIXTURES / "pmt_salt5.npz") as file:
        return dict(file)


def tokens(size: tuple[int, int], stride: int) -> int:
    """Number of patches of an image."""
    return int(np.prod([(side - 16) // stride + 1 for side in size]))


@cache
def weights(depth: int, classes: int, size: tuple[int, int], stride: int = 12) -> dict[str, Tensor]:
    """A state dict of the first blocks, by the fixture's salt."""
    salt = int(fixture()["salt"])
    chosen: dict[str, Shape] = {
        key: shape
        for key, shape in shapes("pmt", classes).items()
        if not key.startswith("base.blocks.") or int(key.split(".")[2]) < depth
    }
    chosen[POSITION] = (1, 1 + tokens(size, stride), 768)
    found = filled("pmt", chosen, salt, lambda key, shape: 1.0)
    for key in (POSITION, TOKEN):
        # Plain normal numbers, without the factor of other weights.
        x = RS((zlib.crc32(key.encode()) + salt) % 2**32).standard_normal(chosen[key])
        found[key] = torch.from_numpy((0.5 * x).astype(np.float32))
    return found


def network_keys(depth: int, stride: int = 12) -> list[str]:
    """Overrides of so many blocks and such patches."""
    blocks = ["MODEL.VIT.BLOCKS", str(depth)] if depth < 12 else []
    return [*PLAIN, *blocks, "MODEL.BACKBONE.STRIDE_SIZE", f"({stride}, {stride})"]


def step_batch(step: int, visible_gray: bool) -> dict[str, Any]:
    """The batch of a training step, images (32, 3, 64, 32)."""
    visible, infrared = (RS(seed + 10 * step).standard_normal((16, 3, 64, 32)) for seed in (5000, 5001))
    blocks = [np.repeat(x[:, :1], 3, axis=1) if gray else x for x, gray in ((visible, visible_gray), (infrared, True))]
    targets = np.tile(np.repeat(RS(6000 + step).choice(10, 4, replace=False), 4), 2)
    return {
        "images": torch.from_numpy(np.concatenate(blocks)),
        "targets": torch.from_numpy(targets),
        "modalities": torch.arange(32) // 16,
        "views": torch.zeros(32, dtype=torch.long),
    }
