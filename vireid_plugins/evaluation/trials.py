"""Queries and gallery of every trial, reproduced from file names alone."""

import random
from typing import NamedTuple

from vireid_plugins.data.batch import INFRARED, VISIBLE
from vireid_plugins.data.datasets import SYSUMM01, CrossModalityDataset
from vireid_plugins.data.datasets.base import Listing
from vireid_plugins.data.datasets.sysu_draws import OfficialDraws
from vireid_plugins.errors import ConfigError
from vireid_plugins.evaluation.protocols import Protocol

# Gallery cameras of SYSU-MM01; None is all of them.
GALLERY_CAMERAS = {"all": (1, 2, 4, 5), "indoor": (1, 2), "val": (4, 5), "": None}


class Trial(NamedTuple):
    """Paths relative to the set's folder."""

    query: list[str]
    gallery: list[str]


def draw_trials(dataset: CrossModalityDataset, protocol: Protocol) -> list[Trial]:
    """Return queries and gallery of every trial of a protocol.

    Raises:
        DataError: lists or draws are missing or do not fit the images on disk.
    """
    query_modality = INFRARED if protocol.direction == "i2v" else VISIBLE
    query = dataset.listings(query_modality)
    gallery = dataset.listings(VISIBLE + INFRARED - query_modality, GALLERY_CAMERAS[protocol.mode])
    if protocol.drawn == "query":
        return [Trial(drawn, _flat(gallery)) for drawn in _draws(dataset, protocol, query)]
    whole = _flat(query)
    return [Trial(whole, drawn) for drawn in _draws(dataset, protocol, gallery)]


def _draws(dataset: CrossModalityDataset, protocol: Protocol, listings: list[Listing]) -> list[list[str]]:
    if protocol.draw == "everything":
        return [_flat(listings)]
    if protocol.draw == "seeded":
        return [_seeded(listings, trial) for trial in range(protocol.trials)]
    if not isinstance(dataset, SYSUMM01):
        raise ConfigError(f"{protocol.name}: only SYSU-MM01 has official draws, {dataset.title} has none")
    draws = OfficialDraws(dataset.folder)
    # The mat file's order: cameras outside, identities inside.
    rows = [
        (images, draws.rows(camera, identity, len(images)))
        for identity, camera, images in sorted(listings, key=lambda listing: (listing[1], listing[0]))
    ]
    return [
        [images[index - 1] for images, permutations in rows for index in permutations[trial][: protocol.shots]]
        for trial in range(protocol.trials)
    ]


def _seeded(listings: list[Listing], trial: int) -> list[str]:
    # One generator through the whole set, as `random.seed(trial)` in the reference loaders, but not the global one.
    generator = random.Random(trial)
    return [generator.choice(images) for _, _, images in listings]


def _flat(listings: list[Listing]) -> list[str]:
    return [path for _, _, images in listings for path in images]
