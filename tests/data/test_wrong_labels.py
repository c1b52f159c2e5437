"""Wrong labels of training images."""

import numpy as np
import pytest
from helpers import small_cfg

from vireid_plugins.data import build_train_loader
from vireid_plugins.data.wrong_labels import with_wrong_labels
from vireid_plugins.errors import ConfigError

TARGETS = [number % 10 for number in range(400)]
MODALITIES = [int(number >= 300) for number in range(400)]


def test_with_wrong_labels_changes_the_share_in_each_modality_to_any_other_identity() -> None:
    found = np.array(with_wrong_labels(TARGETS, MODALITIES, 0.2, seed=1))
    wrong = found != np.array(TARGETS)
    assert wrong[:300].sum() == 60
    assert wrong[300:].sum() == 20
    assert set(found[wrong]) == set(range(10))
    assert with_wrong_labels(TARGETS, MODALITIES, 0.2, seed=1) == found.tolist()
    assert with_wrong_labels(TARGETS, MODALITIES, 0.2, seed=2) != found.tolist()
    assert with_wrong_labels(TARGETS, MODALITIES, 0.0, seed=1) == TARGETS


@pytest.mark.parametrize("share", [-0.1, 1.0])
def test_with_wrong_labels_of_an_impossible_share_is_one_error(share: float) -> None:
    with pytest.raises(ConfigError, match=r"DATASETS.WRONG_LABELS.SHARE: must be at least 0 and below 1"):
        with_wrong_labels(TARGETS, MODALITIES, share, seed=0)


def test_with_wrong_labels_of_a_negative_seed_is_one_error() -> None:
    with pytest.raises(ConfigError, match=r"DATASETS.WRONG_LABELS.SEED: must be 0 or more, got -1"):
        with_wrong_labels(TARGETS, MODALITIES, 0.0, seed=-1)


@pytest.mark.usefixtures("little_root")
def test_training_images_have_the_wrong_labels_that_are_asked_for() -> None:
    right, wrong = (
        build_train_loader(small_cfg("SYSU/one_stream.yml", "DATASETS.WRONG_LABELS.SHARE", share)).images
        for share in ("0.0", "0.25")
    )
    changed = np.array(right.targets) != np.array(wrong.targets)
    assert changed.sum() == round(0.25 * 36) + round(0.25 * 18)
    assert right.items == wrong.items
