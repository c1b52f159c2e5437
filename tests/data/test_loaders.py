import pickle
import shutil
from itertools import islice
from pathlib import Path
from typing import BinaryIO

import numpy as np
import pytest
import torch
from helpers import batch, small_cfg
from PIL import Image

from vireid_plugins.data import build_test_loader, build_train_loader, decode
from vireid_plugins.data.batch import check_blocks
from vireid_plugins.data.decode import read_image
from vireid_plugins.errors import ConfigError, DataError
from vireid_plugins.io.regular import open_regular


def test_build_train_loader_gives_batches_that_keep_the_contract(data_root: Path) -> None:
    cfg = small_cfg("SYSU/wrim.yml", "INPUT.VIEWS.VISIBLE", "[['PadCrop'], ['Flip', 'ChannelExchange']]")
    loader = build_train_loader(cfg)
    for found in islice(loader, 3):
        assert found["images"].shape == (24, 3, 64, 32)
        assert found["images"].dtype == torch.uint8
        assert found["images"].is_contiguous(memory_format=torch.channels_last)
        assert found["modalities"].tolist() == [0] * 16 + [1] * 8
        assert found["views"].tolist() == [0] * 8 + [1] * 8 + [0] * 8
        assert found["targets"].view(3, -1).unique(dim=0).shape[0] == 1
        assert found["targets"].max() < loader.dataset.num_classes
        second = found["images"][8:16]
        assert torch.equal(second[:, 0], second[:, 1])


def test_build_train_loader_has_the_epoch_that_its_sampler_counts(data_root: Path) -> None:
    cfg = small_cfg()
    loader = build_train_loader(cfg)
    assert len(loader.dataset) // cfg.SOLVER.IMS_PER_BATCH == loader.sampler.steps > 0


def test_build_train_loader_with_any_workers_or_start_gives_the_same_batches(data_root: Path) -> None:
    alone, two = (build_train_loader(small_cfg("SYSU/wrim.yml", "DATALOADER.NUM_WORKERS", n)) for n in ("0", "2"))
    steps = alone.sampler.steps
    run = list(islice(alone, steps + 2))
    for expected, found in zip(run, islice(two, steps + 2), strict=True):
        assert torch.equal(expected["images"], found["images"])
    resumed = next(alone.starting_at(steps))
    assert torch.equal(resumed["images"], run[steps]["images"])
    assert not torch.equal(resumed["images"], run[0]["images"])


@pytest.mark.parametrize("config", ["SYSU/wrim.yml", "RegDB/wrim.yml", "LLCM/wrim.yml"])
def test_build_loaders_can_be_pickled_for_spawned_workers(data_root: Path, config: str) -> None:
    """A loader's workers are never forked from the process that has the data set."""
    loader = build_train_loader(small_cfg(config)).loader
    train = pickle.loads(pickle.dumps(loader.dataset))
    sample = next(iter(loader.batch_sampler))[0]
    assert np.array_equal(train[sample]["images"], loader.dataset[sample]["images"])
    pickle.dumps(loader.collate_fn)
    test = build_test_loader(small_cfg(config), small_cfg(config).DATASETS.TESTS[0])[0].dataset
    again = pickle.loads(pickle.dumps(test))
    assert (again.items, again[0]["targets"]) == (test.items, test[0]["targets"])


def test_build_test_loader_shows_every_query_and_gallery_image_once(data_root: Path) -> None:
    loader, queries = build_test_loader(small_cfg(), "SYSUMM01")
    batches = list(loader)
    paths = [path for found in batches for path in found["img_paths"]]
    assert len(paths) == len(set(paths)) == len(loader.dataset)
    modalities = torch.cat([found["modalities"] for found in batches])
    assert modalities.tolist() == [1] * queries + [0] * (len(paths) - queries)


@pytest.mark.parametrize("workers", ["0", "2"])
def test_build_train_loader_with_a_broken_image_ends_with_its_name(
    data_root: Path, tmp_path: Path, workers: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(data_root / "SYSU-MM01", tmp_path / "SYSU-MM01")
    monkeypatch.setenv("FASTREID_DATASETS", str(tmp_path))
    loader = build_train_loader(small_cfg("SYSU/wrim.yml", "DATALOADER.NUM_WORKERS", workers))
    for file in (tmp_path / "SYSU-MM01").glob("cam3/*/*.jpg"):
        file.write_bytes(file.read_bytes()[:200])
    with pytest.raises(DataError, match=r"cam3/\d{4}/\d{4}\.jpg' cannot be read"):
        list(islice(loader, 20))


def test_read_image_of_one_channel_gives_three_and_names_a_missing_file(tmp_path: Path) -> None:
    Image.fromarray(np.full((9, 4), 70, dtype=np.uint8)).save(tmp_path / "gray.png")
    assert read_image(str(tmp_path / "gray.png"), (6, 3)).tolist() == [[[70] * 3] * 3] * 6
    with pytest.raises(DataError, match=r"gone\.jpg"):
        read_image(str(tmp_path / "gone.jpg"), (6, 3))


@pytest.mark.parametrize(
    ("overrides", "error", "message"),
    [
        (["SOLVER.IMS_PER_BATCH", "18"], ConfigError, "multiple of 4"),
        (["SOLVER.IMS_PER_BATCH", "400"], DataError, "a batch needs 100"),
        (["DATALOADER.SAMPLER_TRAIN", "Random"], ConfigError, "CrossModalityIdentitySampler"),
        (["INPUT.INTERPOLATION", "cubic"], ConfigError, "bicubic"),
    ],
)
def test_build_train_loader_with_what_does_not_fit_is_one_error(
    data_root: Path, overrides: list[str], error: type, message: str
) -> None:
    with pytest.raises(error, match=message):
        build_train_loader(small_cfg("SYSU/wrim.yml", *overrides))


@pytest.mark.parametrize(
    ("key", "values"),
    [
        ("targets", [0, 1, 2, 3] * 3 + [3, 2, 1, 0] * 3),
        ("modalities", [1] * 8 + [0] * 16),
        ("views", [0] * 9 + [1] * 7 + [0] * 8),
    ],
)
def test_check_blocks_refuses_rows_out_of_block_order(key: str, values: list[int]) -> None:
    check_blocks(batch(views=(2, 1)))
    with pytest.raises(ValueError, match="block"):
        check_blocks(batch(views=(2, 1)) | {key: torch.tensor(values)})


def test_build_loaders_open_no_image_and_each_once_for_all_epochs_with_a_cache(
    data_root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened: list[str] = []

    def noted(file: str) -> BinaryIO:
        opened.append(file)
        return open_regular(file)

    monkeypatch.setattr(decode, "open_regular", noted)
    cfg = small_cfg("SYSU/wrim.yml", "DATALOADER.CACHE", str(tmp_path))
    loader, test = build_train_loader(cfg), build_test_loader(cfg, "SYSUMM01")[0]
    assert opened == []
    for _ in islice(loader, 3 * loader.sampler.steps):
        pass
    for _ in range(2):
        assert len(list(test)) > 0
    assert len(opened) == len(set(opened)) > len(test.dataset)


@pytest.mark.parametrize("cached", [False, True])
def test_build_train_loader_hands_its_workers_a_list_and_no_images(
    data_root: Path, tmp_path: Path, cached: bool
) -> None:
    images = build_train_loader(small_cfg("SYSU/wrim.yml", "DATALOADER.CACHE", str(tmp_path) if cached else "")).images
    for number in range(len(images)):
        assert images.pixels[number].size == 64 * 32 * 3
    files = sum(len(path) for path, _, _ in images.items)
    assert len(pickle.dumps(images)) < 4096 + files + 64 * len(images)
