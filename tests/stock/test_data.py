"""Loaders, samplers and transforms: the trouble without the patch, its absence with it."""

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from fastreid.config import get_cfg
from fastreid.data import build as loaders
from fastreid.data import samplers
from fastreid.data.samplers import triplet_sampler
from fastreid.data.transforms import build_transforms
from PIL import Image

from vireid_plugins.compat import patch
from vireid_plugins.errors import ConfigError

pytestmark = pytest.mark.usefixtures("unpatched")


class Items(torch.utils.data.Dataset):  # type: ignore[type-arg]
    def __init__(self, broken: int = -1) -> None:
        self.broken = broken

    def __len__(self) -> int:
        return 8

    def __getitem__(self, index: int) -> dict[str, Any]:
        if index == self.broken:
            raise OSError(f"image {index} is broken")
        return {"images": torch.zeros(3, 4, 4), "targets": np.int64(index), "img_paths": f"{index}.jpg"}


def _loader(broken: int = -1) -> Any:
    return loaders.build_reid_train_loader(
        Items(broken), sampler=samplers.TrainingSampler(8, shuffle=False), total_batch_size=4, num_workers=0
    )


@pytest.mark.skipif(torch.cuda.is_available(), reason="fast-reid's loader works where CUDA is")
def test_loader_on_the_host_fails() -> None:
    with pytest.raises((RuntimeError, AssertionError)):
        next(iter(_loader()))


def test_loader_keeps_numpy_numbers_and_raises_what_went_wrong() -> None:
    assert loaders.fast_batch_collator([{"targets": np.int64(1)}])["targets"] is None
    patch(only=["loader"])
    batch = next(iter(_loader()))
    assert batch["targets"].tolist() == [0, 1, 2, 3]
    assert batch["img_paths"] == ["0.jpg", "1.jpg", "2.jpg", "3.jpg"]
    batches = iter(_loader(broken=5))
    next(batches)
    with pytest.raises(OSError, match="image 5 is broken"):
        next(batches)


ITEMS = [(f"{identity}_{n}.jpg", identity, n % 2) for identity in range(6) for n in range(4)]


class EndlessError(Exception):
    """The sampler has begun a batch as often as only a loop without an end does."""


def test_samplers_without_enough_identities_end(monkeypatch: pytest.MonkeyPatch) -> None:
    begun = iter(range(1000))

    def counted(pids: list[int]) -> list[int]:
        if next(begun, None) is None:
            raise EndlessError
        return list(pids)

    with monkeypatch.context() as patched:
        patched.setattr(triplet_sampler, "copy", SimpleNamespace(deepcopy=counted))
        with pytest.raises(EndlessError):
            next(iter(samplers.NaiveIdentitySampler([("a", 0, 0), ("b", 0, 1)], 8, 2, seed=0)))
    patch(only=["samplers"])
    for kind in (samplers.NaiveIdentitySampler, samplers.BalancedIdentitySampler):
        with pytest.raises(ConfigError, match="needs 7 identities; the training set has 6"):
            kind(ITEMS, 28, 4, seed=0)
        with pytest.raises(ConfigError, match="9 images per device is not a multiple"):
            kind(ITEMS, 9, 4, seed=0)


@pytest.mark.parametrize("name", ["NaiveIdentitySampler", "BalancedIdentitySampler"])
def test_samplers_leave_numpys_generator_alone_and_draw_what_they_drew(name: str) -> None:
    def drawn() -> tuple[list[int], float]:
        np.random.seed(5)
        stream = iter(getattr(samplers, name)(ITEMS, 8, 4, seed=1))
        return [int(next(stream)) for _ in range(40)], np.random.rand()

    np.random.seed(5)
    untouched = np.random.rand()
    before, disturbed = drawn()
    assert disturbed != untouched
    patch(only=["samplers"])
    assert drawn() == (before, untouched)


def test_affine_moves_images_and_fills_with_black() -> None:
    cfg = get_cfg()
    cfg.INPUT.AFFINE.ENABLED = True
    with pytest.raises(TypeError, match="resample"):
        build_transforms(cfg, is_train=True)
    patch(only=["affine"])
    image = Image.fromarray(np.full((64, 32, 3), 200, dtype=np.uint8))
    transform = build_transforms(cfg, is_train=True)
    moved = torch.stack([transform(image) for _ in range(10)])
    assert moved.shape[1:] == (3, *cfg.INPUT.SIZE_TRAIN)
    assert moved.amin(dim=(1, 2, 3)).tolist().count(0) > 5
