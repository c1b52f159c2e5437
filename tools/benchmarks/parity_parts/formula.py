"""Weights and images by formula, so that both sides start from the same values without exchanging them.

Every number comes from `numpy.random.RandomState`, seeded with the name of the tensor or image, and is rounded to
float32.

    x standard normal
    running_mean: 0.1 x | running_var: 1 + 0.1 |x| | name ends in bias: 0.1 x | other 1-D: 0.8 + 0.1 x
    else: x / sqrt(prod(shape[1:])) | num_batches_tracked: 0

In a network filled like this activations grow from block to block, so the last scale of every residual block is
reduced. Blocks that relate positions or channels keep their own weights at full size, since they would have no visible
effect otherwise; their last scale is reduced, too.
"""

import re
import zlib
from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

Shape = tuple[int, ...]
Array = npt.NDArray[np.float32]

# By method: pattern of a key, and the factor of its values.
FACTORS: dict[str, dict[str, float]] = {
    "agw": {r".*\.W\.1\.weight": 0.1, r".*bn3\.weight": 0.25},
    "caj": {r".*\.W\.1\.weight": 0.1, r".*bn3\.weight": 0.25},
    "deen": {r".*\.W\.1\.weight": 0.1, r".*bn3\.weight": 0.25},
    "idkl": {},
    "mscm": {r".*\.W\.1\.weight": 0.1, r"base_resnet\..*bn3\.weight": 0.2},
}


def fill(key: str, shape: Shape, method: str, salt: int = 0) -> npt.NDArray[np.float32 | np.int64]:
    """Return the values of a key of the public code's state dict.

    Args:
        key: name in the state dict.
        shape: shape of the tensor.
        method: method whose `FACTORS` apply.
        salt: seed of the network.
    """
    if key.endswith("num_batches_tracked"):
        return np.zeros(shape, np.int64)
    x = _normal(key, shape, salt)
    if key.endswith("running_mean"):
        x = 0.1 * x
    elif key.endswith("running_var"):
        x = 1 + 0.1 * np.abs(x)
    elif key.endswith("bias"):
        x = 0.1 * x
    elif len(shape) == 1:
        x = 0.8 + 0.1 * x
    else:
        x = x / np.sqrt(np.prod(shape[1:]))
    for pattern, factor in FACTORS[method].items():
        if re.fullmatch(pattern, key):
            x = factor * x
    return np.asarray(x, np.float32)


def fill_all(shapes: Mapping[str, Shape], method: str, salt: int = 0) -> dict[str, npt.NDArray[np.float32 | np.int64]]:
    """Return a whole state dict of the public code."""
    return {key: fill(key, shape, method, salt) for key, shape in shapes.items()}


def image(name: str, size: tuple[int, int], salt: int = 0) -> Array:
    """Return the normalized image (3, height, width) of noise for a name."""
    return np.asarray(_normal(name, (3, *size), salt), np.float32)


def _normal(name: str, shape: Shape, salt: int) -> npt.NDArray[np.float64]:
    # RandomState's stream is frozen; that of Generator may change.
    drawn = np.random.RandomState((zlib.crc32(name.encode()) + salt) % 2**32).standard_normal(shape)
    return np.asarray(drawn)
