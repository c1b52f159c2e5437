"""Augmentation of whole batches draws from the distribution of the augmentation of single images."""

import math
from typing import Any

import numpy as np
import pytest
import torch
from helpers import small_cfg
from scipy.stats import ks_2samp

from vireid_plugins.config.check import registered
from vireid_plugins.data import build_train_loader
from vireid_plugins.data.batch import check_blocks
from vireid_plugins.data.transforms import TRANSFORM_REGISTRY, BatchAugmentation, View, build_view
from vireid_plugins.engine import Trainer
from vireid_plugins.errors import ConfigError

DRAWS = 3000
IMAGE = np.random.default_rng(0).integers(0, 256, (24, 12, 3), dtype=np.uint8)
CHAINS = [
    *([f"{name}@0.7"] for name in registered(TRANSFORM_REGISTRY)),
    ["Brightness@0.5", "PadCrop", "Flip@0.5", "Erasing@0.5", "AdaptiveGray"],
]
LATE = ["AdaptiveGray", "ChannelExchange", "ChannelScale", "Erasing", "SecondChannelOrGray"]


def statistics(images: np.ndarray) -> dict[str, np.ndarray]:
    """A few numbers of each image (n, H, W, 3): means of channels and corners, and random projections."""
    values = images.astype(np.float64).reshape(len(images), -1)
    directions = np.random.default_rng(1).standard_normal((values.shape[1], 3)) / math.sqrt(values.shape[1])
    found = {f"projection {n}": column for n, column in enumerate((values @ directions).T)}
    found |= {f"channel {c}": images[..., c].mean((1, 2)) for c in range(3)}
    found |= {"first pixel": images[:, 0, 0, 0], "last pixel": images[:, -1, -1, 2], "spread": values.std(1)}
    return {name: np.round(column.astype(np.float64), 3) for name, column in found.items()}


def both(view: View) -> tuple[np.ndarray, np.ndarray]:
    """The same image, augmented many times in either way."""
    singly = np.stack([view(IMAGE, np.random.default_rng(seed)) for seed in range(DRAWS)])
    images = torch.from_numpy(np.stack([IMAGE] * DRAWS)).permute(0, 3, 1, 2)
    kept = images.clone()
    together = view.batch(images, torch.Generator().manual_seed(5))
    assert torch.equal(images, kept)
    return singly, together.permute(0, 2, 3, 1).numpy()


@pytest.mark.parametrize(
    ("names", "late"),
    [
        *((chain, False) for chain in CHAINS),
        *(([f"{name}@0.7"], True) for name in LATE),
        pytest.param(["PadCrop", "ChannelExchange@0.5", "Normalize", "Erasing@0.7"], True, id="saai"),
    ],
)
def test_view_of_a_batch_has_the_distribution_of_single_images(names: list[str], late: bool) -> None:
    keys = ["INPUT.AFTER_NORM", str(late), "INPUT.PADDING.SIZE", "2", "INPUT.PADDING.VALUE", "9"]
    if "Normalize" in names:
        keys += ["INPUT.PADDING.MODE", "symmetric", "INPUT.REA.FILL", "noise"]
    singly, together = both(build_view(small_cfg("SYSU/wrim.yml", *keys), names))
    assert together.dtype == singly.dtype == (np.float32 if late else np.uint8)
    first, second = statistics(singly), statistics(together)
    for name, column in first.items():
        assert ks_2samp(column, second[name], method="asymp").pvalue > 1e-4, name


def test_statistics_see_a_small_difference() -> None:
    """Otherwise the test above could not fail: 0.6 in place of 0.7 is seen."""
    cfg = small_cfg()
    first, second = (
        statistics(both(build_view(cfg, ["Flip@0.7"]))[0]),
        statistics(both(build_view(cfg, ["Flip@0.6"]))[1]),
    )
    assert min(ks_2samp(column, second[name], method="asymp").pvalue for name, column in first.items()) < 1e-4


def test_view_of_a_batch_draws_for_every_image_alone() -> None:
    view = build_view(small_cfg(), ["PadCrop", "Erasing"])
    images = torch.from_numpy(np.stack([IMAGE] * 50)).permute(0, 3, 1, 2)
    found = view.batch(images, torch.Generator().manual_seed(0))
    assert len({image.numpy().tobytes() for image in found}) > 45


DEVICE = ["INPUT.AUGMENT", "device"]


def batches(number: int, epoch: int = 0, *overrides: str) -> tuple[int, list[dict[str, Any]]]:
    loader = build_train_loader(small_cfg("SYSU/caj.yml", *DEVICE, *overrides))
    found = loader.starting_at(epoch * loader.sampler.steps)
    return loader.sampler.steps, [dict(next(found)) for _ in range(number)]


@pytest.mark.usefixtures("data_root")
def test_build_train_loader_on_device_repeats_its_batches_also_when_resumed() -> None:
    steps, first = batches(3)
    again = batches(3)[1]
    assert all(torch.equal(a["images"], b["images"]) for a, b in zip(first, again, strict=True))
    check_blocks(first[0])
    assert first[0]["images"].is_contiguous(memory_format=torch.channels_last)
    assert first[0]["images"].dtype == torch.float32  # CAJ works on the normalised image
    straight = batches(steps + 1)[1][steps]
    resumed = batches(1, 1)[1][0]
    assert torch.equal(straight["images"], resumed["images"])
    other = batches(1, 0, "SEED", "7")[1][0]
    assert not torch.equal(first[0]["images"], other["images"])


@pytest.mark.usefixtures("data_root")
def test_batch_augmentation_gives_each_block_its_view() -> None:
    """A view that blackens shows which rows it was given."""

    class Black:
        def __call__(self, image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
            return image * 0

        def batch(self, images: torch.Tensor, rng: torch.Generator) -> torch.Tensor:
            return images * 0

    loader = build_train_loader(small_cfg("SYSU/caj.yml", *DEVICE))
    loader.augment = BatchAugmentation([[View([]), View([(Black(), 1)])], [View([])]], "cpu")
    batch = next(iter(loader))
    black = batch["images"].flatten(1).amax(1) == 0
    assert black.tolist() == [(m, v) == (0, 1) for m, v in zip(batch["modalities"], batch["views"], strict=True)]


@pytest.mark.usefixtures("data_root")
def test_batch_augmentation_of_a_transform_without_batches_is_one_error() -> None:
    class Odd:
        def __call__(self, image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
            return image

    with pytest.raises(ConfigError, match=r"INPUT\.AUGMENT: Odd has no `batch` method.*use host"):
        BatchAugmentation([[View([(Odd(), 1)])], [View([])]], "cpu")  # type: ignore[list-item]
    with pytest.raises(ConfigError, match=r"INPUT\.AUGMENT: unknown value 'gpu'; available: device, host"):
        build_train_loader(small_cfg("SYSU/wrim.yml", "INPUT.AUGMENT", "gpu"))


@pytest.mark.usefixtures("little_root")
def test_trainer_with_augmentation_on_device_trains_and_scores(tmp_path) -> None:
    trainer = Trainer(small_cfg("SYSU/wrim.yml", *DEVICE, "OUTPUT_DIR", str(tmp_path)))
    before = {name: p.clone() for name, p in trainer.model.named_parameters() if p.requires_grad}
    assert trainer.train()
    after = dict(trainer.model.named_parameters())
    assert not [name for name, old in before.items() if torch.equal(after[name], old)]
