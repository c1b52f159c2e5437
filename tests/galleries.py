"""Galleries of small images whose features are their mean colors."""

from pathlib import Path
from typing import Any

import numpy as np
from helpers import small_cfg
from PIL import Image

from vireid_plugins.data.decode import read_image
from vireid_plugins.data.thermal import DEFAULT
from vireid_plugins.search import Gallery, Record
from vireid_plugins.search.indexing import Indexed, index_images


class Colors:
    """An extractor whose features are the mean colors of images, with weights of its own."""

    batch = 2
    stretch = DEFAULT

    def __init__(self, weights: Path, *overrides: str) -> None:
        self.weights, self.cfg = weights, small_cfg("SYSU/one_stream.yml", *overrides)
        if not weights.exists():
            weights.write_bytes(b"weights")

    def pixels(self, file: Path) -> np.ndarray:
        return read_image(str(file), (8, 8))

    def features(self, images: list[np.ndarray], modalities: list[int]) -> np.ndarray:
        rows = np.stack([image.mean((0, 1)) for image in images]).astype(np.float32)
        return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def paint(root: Path, *names: str) -> None:
    """Write images, each in a color of its own."""
    for number, name in enumerate(names):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (8, 8), (200, 20 + 9 * number, 90)).save(root / name)


def indexed(colors: Any, folder: Path, **how: Any) -> Indexed:
    return index_images(colors, folder, folder.parent / "index", "visible", **how)


def records_in(index: Path) -> list[Record]:
    with Gallery.load(index) as gallery:
        return gallery.records()


def names_in(index: Path) -> list[str]:
    return sorted(Path(one.key).name for one in records_in(index))
