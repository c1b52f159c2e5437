"""Grad-CAM (Selvaraju et al., ICCV 2017) of the cosine between two images' features: which regions explain a match.

The target is the similarity of a visible and an infrared image of one identity, so that the heat map shows what the
network considers common to both. The gradient of a cosine is orthogonal to the feature, so about half of a heat map is
negative by construction: heat maps are scaled from minimum to maximum instead of being clipped at 0. Grad-CAM packages
expect a network that takes a single tensor and predicts classes; a method here takes a batch with modalities and
returns features, and Grad-CAM itself is four lines.
"""

import re
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from fastreid.config import CfgNode
from fastreid.modeling.backbones.vision_transformer import Block
from torch import Tensor

from vireid_plugins.data.batch import INFRARED, VISIBLE
from vireid_plugins.data.datasets import CrossModalityDataset, build_dataset
from vireid_plugins.data.decode import interpolation_of_tests, read_image
from vireid_plugins.data.thermal import stretch_of
from vireid_plugins.engine.train import load_model
from vireid_plugins.errors import ConfigError, DataError
from vireid_plugins.evaluation.plan import require_test_sets

Pixels = npt.NDArray[np.uint8]


class PairMaps(NamedTuple):
    """A pair of images, their heat maps (H, W) in 0..1, and the cosine of their features."""

    visible: Pixels
    infrared: Pixels
    visible_map: npt.NDArray[np.float32]
    infrared_map: npt.NDArray[np.float32]
    cosine: float


def pair_maps(model: Any, visible: Pixels, infrared: Pixels) -> PairMaps:
    """Compute Grad-CAM on the last feature map of a method for one pair; of a class token, on the map before it.

    Args:
        model: a method in evaluation mode.
        visible: (H, W, 3) uint8.
        infrared: (H, W, 3) uint8.
    """
    images = torch.from_numpy(np.stack([visible, infrared])).permute(0, 3, 1, 2)
    modalities = torch.tensor([VISIBLE, INFRARED])
    with torch.enable_grad():
        pixels = model.normalize(images)
        backbone: Any = getattr(model, "backbone", None)
        grid: Any = getattr(backbone, "grid", None)
        if grid is not None and backbone.tokens == "class":
            features, sequences = _before_last_block(model, pixels, modalities)
        else:
            maps: dict[str, Tensor] = model.extract(pixels, modalities, torch.zeros_like(modalities))
            name, last = list(maps.items())[-1]
            if not last.requires_grad:
                last = last.detach().requires_grad_()
            features, sequences = model.embed({**maps, name: last}, modalities), [last]
        features = F.normalize(features)
        cosine = (features[0] * features[1]).sum()
        gradient, last = torch.cat(torch.autograd.grad(cosine, sequences)), torch.cat(sequences)
    if last.ndim == 3:
        gradient, last = grid.to_map(gradient), grid.to_map(last)
    heat = (gradient.mean((2, 3), keepdim=True) * last).sum(1).detach()
    # A method that expands its embeddings (DEEN) has several rows per image.
    heat = heat.view(-1, 2, *heat.shape[1:]).sum(0)
    resized = F.interpolate(heat[:, None], visible.shape[:2], mode="bilinear")[:, 0]
    low, high = resized.amin((1, 2), keepdim=True), resized.amax((1, 2), keepdim=True)
    scaled = (resized - low) / (high - low).clamp_min(1e-12)
    first, second = scaled.float().cpu().numpy()
    return PairMaps(visible, infrared, first, second, cosine.item())


def _before_last_block(model: Any, images: Tensor, modalities: Tensor) -> tuple[Tensor, list[Tensor]]:
    """Return a ViT's features and the sequences that its last block was given: one of both images, or one of each.

    After that block the class token, which is the feature, no longer depends on the patches.
    """
    blocks: dict[str, list[Block]] = {}
    for name, module in model.backbone.named_modules():
        if isinstance(module, Block):
            blocks.setdefault(re.sub(r"copies\.\d+\.", "", name), []).append(module)
    sequences: list[Tensor] = []

    def keep(_: Any, given: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        sequences.append(given[0].detach().requires_grad_())
        return (sequences[-1],)

    hooks = [block.register_forward_pre_hook(keep) for block in list(blocks.values())[-1]]
    try:
        features = model.embed(model.extract(images, modalities, torch.zeros_like(modalities)), modalities)
    finally:
        for hook in hooks:
            hook.remove()
    return features, sequences


def pairs_of(cfg: CfgNode, count: int, seed: int | None = None, wanted: Sequence[str] = ()) -> list[PairMaps]:
    """Compute Grad-CAM for pairs from the first test set of a configuration, one per identity, with its trained model.

    Args:
        cfg: the configuration.
        count: number of identities, spread evenly over those with both modalities, if none are named.
        seed: draws them at random instead.
        wanted: names the pairs: numbers of identities, or paths of an image, which is paired with the first image of
            the other modality.

    Raises:
        ConfigError: there is no checkpoint or no test set, or nothing has a name of `wanted`.
        DataError: the checkpoint or the data set cannot be read.
    """
    name = require_test_sets(cfg)[0]
    model = load_model(cfg).eval()
    dataset: Any = build_dataset(cfg, name)
    how = (cfg.INPUT.SIZE_TEST, interpolation_of_tests(cfg), stretch_of(cfg))
    pairs = choose_pairs(dataset, count, seed, wanted)
    return [pair_maps(model, *(read_image(path, *how) for path in pair)) for pair in pairs]


def choose_pairs(
    dataset: CrossModalityDataset, count: int, seed: int | None = None, wanted: Sequence[str] = ()
) -> list[tuple[str, str]]:
    """Return pairs of a visible and an infrared test image of one identity, see `pairs_of`.

    Raises:
        ConfigError: nothing has a name of `wanted`.
        DataError: no identity has both modalities.
    """
    images: dict[int, dict[int, str]] = {}
    items = (*dataset.query, *dataset.gallery)
    for item in items:
        images.setdefault(item[1], {}).setdefault(dataset.modality(item), item[0])
    both = [identity for identity in sorted(images) if len(images[identity]) == 2]
    if not both:
        raise DataError(f"no test identity of {dataset.title} has images of both modalities")
    if not wanted:
        if seed is None:
            numbers = np.linspace(0, len(both) - 1, min(count, len(both))).astype(int)
        else:
            numbers = np.sort(np.random.default_rng(seed).permutation(len(both))[:count])
        return [(images[both[n]][VISIBLE], images[both[n]][INFRARED]) for n in numbers]
    named: dict[str, dict[int, str]] = {str(identity): images[identity] for identity in both}
    for item in items:
        if item[1] in both:
            named[dataset.relative(item)] = images[item[1]] | {dataset.modality(item): item[0]}
    pairs = []
    for word in wanted:
        pair = named.get(word) or next((pair for name, pair in named.items() if word.endswith(f"/{name}")), None)
        if pair is None:
            some = ", ".join(map(str, both[:8])) + (", ..." if len(both) > 8 else "")
            raise ConfigError(
                f"--query: '{word}' is no test image of {dataset.title} whose identity has both modalities; "
                f"identities: {some}; a path is like {dataset.relative(items[0])}"
            )
        pairs.append((pair[VISIBLE], pair[INFRARED]))
    return pairs
