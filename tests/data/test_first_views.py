"""The views that begin a run (`INPUT.FIRST_VIEWS`), whatever loads ahead and wherever the run is resumed."""

from itertools import islice
from typing import Any

import pytest
import torch
from helpers import small_cfg

from vireid_plugins.data import build_train_loader
from vireid_plugins.errors import ConfigError

pytestmark = pytest.mark.usefixtures("data_root")
GRAY = [
    *("INPUT.FIRST_EPOCHS", "1", "INPUT.FIRST_VIEWS.VISIBLE", "[['Luma']]"),
    *("INPUT.VIEWS.VISIBLE", "[['Flip@0.5']]", "INPUT.VIEWS.INFRARED", "[[]]"),
]


def gray(batch: Any) -> bool:
    """Whether all visible images are; those of the tree have colors."""
    visible = batch["images"][batch["modalities"] == 0]
    return bool((visible.amax(1) == visible.amin(1)).all())


@pytest.mark.parametrize("augment", ["host", "device"])
@pytest.mark.parametrize("workers", ["0", "2"])
def test_build_train_loader_begins_with_the_first_views(augment: str, workers: str) -> None:
    more = ["INPUT.AUGMENT", augment, "DATALOADER.NUM_WORKERS", workers]
    loader = build_train_loader(small_cfg("SYSU/wrim.yml", *GRAY, *more))
    steps = loader.sampler.steps
    found = [gray(batch) for batch in islice(loader.starting_at(0), steps + 2)]
    assert found == [True] * steps + [False] * 2
    resumed = [gray(batch) for batch in islice(loader.starting_at(steps - 1), 2)]
    assert resumed == [True, False]


def test_build_train_loader_with_other_first_views_than_blocks_is_one_error() -> None:
    wrong = ["INPUT.FIRST_VIEWS.INFRARED", "[[], []]"]
    with pytest.raises(ConfigError, match=r"FIRST_VIEWS\.INFRARED: has 2 views and INPUT\.VIEWS\.INFRARED has 1"):
        build_train_loader(small_cfg("SYSU/wrim.yml", *GRAY, *wrong))


def test_first_views_that_are_empty_are_those_that_follow() -> None:
    plain, same = (build_train_loader(small_cfg("SYSU/wrim.yml", *more)) for more in ([], ["INPUT.FIRST_EPOCHS", "1"]))
    assert torch.equal(next(iter(plain))["images"], next(iter(same))["images"])
