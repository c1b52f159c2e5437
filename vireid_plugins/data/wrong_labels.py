"""Wrong labels of training images, to try how a method bears them (the setting of DART, CVPR 2022)."""

from collections.abc import Sequence

import numpy as np

from vireid_plugins.config.keys import Key, declare_table
from vireid_plugins.errors import ConfigError

NODE = "DATASETS.WRONG_LABELS"

declare_table(
    Key(
        f"{NODE}.SHARE",
        0.0,
        "Share of the training images of each modality that are labeled as another identity of the training set, below "
        "1; to try methods under wrong labels. 0: none.",
    ),
    Key(f"{NODE}.SEED", 0, "Seed that draws these images and their labels, whatever SEED is."),
)


def with_wrong_labels(targets: Sequence[int], modalities: Sequence[int], share: float, seed: int) -> list[int]:
    """Return labels of which a share is wrong: uniformly one of the other identities.

    Args:
        targets: (N,) identities of the images, numbered from 0.
        modalities: (N,) modality of each image.
        share: share of the images of each modality.
        seed: draws the images and their labels.

    Raises:
        ConfigError: the share is not at least 0 and below 1, or the seed is negative.
    """
    if seed < 0:
        raise ConfigError(f"{NODE}.SEED: must be 0 or more, got {seed}")
    if not 0 <= share < 1:
        raise ConfigError(f"{NODE}.SHARE: must be at least 0 and below 1, got {share}")
    labels, of = np.array(targets), np.asarray(modalities)
    identities = int(labels.max(initial=0)) + 1
    if not share or identities < 2:
        return list(targets)
    rng = np.random.default_rng(seed)
    for modality in np.unique(of):
        rows = np.flatnonzero(of == modality)
        wrong = rng.choice(rows, round(share * len(rows)), replace=False)
        labels[wrong] = (labels[wrong] + rng.integers(1, identities, len(wrong))) % identities
    found: list[int] = labels.tolist()
    return found
