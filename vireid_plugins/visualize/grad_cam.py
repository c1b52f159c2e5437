"""Grad-CAM (Selvaraju et al., ICCV 2017) of the cosine between two images' features: which regions explain a match.

The target is the similarity of a visible and an infrared image of one identity, so that the heat map shows what the
network considers common to both. The gradient of a cosine is orthogonal to the feature, so about half of a heat map is
negative by construction: heat maps are scaled from minimum to maximum instead of being clipped at 0. Grad-CAM packages
expect a network that takes a single tensor and predicts classes; a method here takes a batch with modalities and
returns features, and Grad-CAM itself is four lines.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from fastreid.config import CfgNode
from PIL import Image, ImageDraw
from torch import Tensor

from vireid_plugins.data.batch import INFRARED, VISIBLE
from vireid_plugins.data.datasets import build_dataset
from vireid_plugins.data.decode import read_image
from vireid_plugins.data.thermal import stretch_of
from vireid_plugins.engine.train import load_model
from vireid_plugins.errors import DataError
from vireid_plugins.visualize._mpl import matplotlib

Pixels = npt.NDArray[np.uint8]
GAP = 4


class PairMaps(NamedTuple):
    """A pair of images, their heat maps (H, W) in 0..1, and the cosine of their features."""

    visible: Pixels
    infrared: Pixels
    visible_map: npt.NDArray[np.float32]
    infrared_map: npt.NDArray[np.float32]
    cosine: float


def pair_maps(model: Any, visible: Pixels, infrared: Pixels) -> PairMaps:
    """Compute Grad-CAM on the last feature map of a method for one pair.

    Args:
        model: a method in evaluation mode.
        visible: (H, W, 3) uint8.
        infrared: (H, W, 3) uint8.
    """
    images = torch.from_numpy(np.stack([visible, infrared])).permute(0, 3, 1, 2)
    modalities = torch.tensor([VISIBLE, INFRARED])
    with torch.enable_grad():
        maps: dict[str, Tensor] = model.extract(model.normalize(images), modalities, torch.zeros_like(modalities))
        name, last = list(maps.items())[-1]
        if not last.requires_grad:
            last = last.detach().requires_grad_()
        features = F.normalize(model.embed({**maps, name: last}, modalities))
        cosine = (features[0] * features[1]).sum()
        (gradient,) = torch.autograd.grad(cosine, last)
    heat = (gradient.mean((2, 3), keepdim=True) * last).sum(1).detach()
    # A method that expands its embeddings (DEEN) has several rows per image.
    heat = heat.view(-1, 2, *heat.shape[1:]).sum(0)
    resized = F.interpolate(heat[:, None], visible.shape[:2], mode="bilinear")[:, 0]
    low, high = resized.amin((1, 2), keepdim=True), resized.amax((1, 2), keepdim=True)
    scaled = (resized - low) / (high - low).clamp_min(1e-12)
    first, second = scaled.float().cpu().numpy()
    return PairMaps(visible, infrared, first, second, cosine.item())


def pairs_of(cfg: CfgNode, count: int) -> list[PairMaps]:
    """Compute Grad-CAM for pairs from the first test set of a configuration, one per identity, with its trained model.

    Args:
        cfg: the configuration.
        count: number of identities, spread evenly over those with both modalities.

    Raises:
        ConfigError: there is no checkpoint.
        DataError: the checkpoint or the data set cannot be read.
    """
    model = load_model(cfg).eval()
    dataset: Any = build_dataset(cfg, cfg.DATASETS.TESTS[0])
    images: dict[int, dict[int, str]] = {}
    for item in (*dataset.query, *dataset.gallery):
        images.setdefault(item[1], {}).setdefault(dataset.modality(item), item[0])
    both = [identity for identity in sorted(images) if len(images[identity]) == 2]
    if not both:
        raise DataError(f"no test identity of {dataset.title} has images of both modalities")
    selected = [both[n] for n in np.linspace(0, len(both) - 1, min(count, len(both))).astype(int)]
    how = (cfg.INPUT.SIZE_TEST, cfg.INPUT.INTERPOLATION, stretch_of(cfg))
    return [
        pair_maps(model, *(read_image(images[identity][m], *how) for m in (VISIBLE, INFRARED))) for identity in selected
    ]


def overlay(image: Pixels, heat: npt.NDArray[np.float32], share: float = 0.45) -> Image.Image:
    """Return an image overlaid with its heat map.

    Args:
        image: (H, W, 3) uint8.
        heat: (H, W) in 0..1.
        share: opacity of the heat map, 0..1.
    """
    colors = matplotlib("cm").ScalarMappable(cmap="jet")
    colors.set_clim(0, 1)
    painted = colors.to_rgba(heat)[..., :3] * 255
    return Image.fromarray(np.uint8(np.rint((1 - share) * image + share * painted)))


def draw_pairs(pairs: Sequence[PairMaps]) -> Image.Image:
    """Return a sheet with one pair per row: visible image and heat map, infrared image and heat map, cosine."""
    height, width = pairs[0].visible.shape[:2]
    header, note = 16, 76
    sheet = Image.new("RGB", (4 * (width + GAP) + note, header + len(pairs) * (height + GAP)), "white")
    draw = ImageDraw.Draw(sheet)
    for column, title in enumerate(("visible", "", "infrared", "")):
        draw.text((column * (width + GAP), 2), title, fill="black")
    for row, pair in enumerate(pairs):
        top = header + row * (height + GAP)
        pictures = [
            Image.fromarray(pair.visible),
            overlay(pair.visible, pair.visible_map),
            Image.fromarray(pair.infrared),
            overlay(pair.infrared, pair.infrared_map),
        ]
        for column, picture in enumerate(pictures):
            sheet.paste(picture, (column * (width + GAP), top))
        draw.text((4 * (width + GAP), top + height // 2), f"cosine {pair.cosine:.2f}", fill="black")
    return sheet
