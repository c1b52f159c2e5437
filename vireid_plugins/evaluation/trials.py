"""Queries and gallery of every trial, determined by file names alone."""

import random
from typing import NamedTuple

from vireid_plugins.data.batch import INFRARED, VISIBLE
from vireid_plugins.data.datasets import CrossModalityDataset
from vireid_plugins.data.datasets.base import Listing
from vireid_plugins.errors import require_name
from vireid_plugins.evaluation.protocols import Protocol


class Trial(NamedTuple):
    """Paths of queries and gallery images, relative to the data set's folder."""

    query: list[str]
    gallery: list[str]


def sides(protocol: Protocol) -> tuple[int, int]:
    """Return the modality of the queries and of the gallery."""
    return (INFRARED, VISIBLE) if protocol.direction == "i2v" else (VISIBLE, INFRARED)


def draw_trials(dataset: CrossModalityDataset, protocol: Protocol) -> list[Trial]:
    """Return the queries and gallery of every trial of a protocol.

    Raises:
        ConfigError: the data set lacks the protocol's gallery or official draws.
        DataError: lists or draws are missing or do not match the images on disk.
    """
    query_modality, gallery_modality = sides(protocol)
    cameras = None
    if protocol.mode:
        require_name(f"{protocol.name}: mode", protocol.mode, dataset.galleries)
        cameras = dataset.galleries[protocol.mode]
    query, gallery = dataset.listings(query_modality), dataset.listings(gallery_modality, cameras)
    if protocol.drawn == "query":
        return [Trial(drawn, _flat(gallery)) for drawn in _draws(dataset, protocol, query)]
    queries = _flat(query)
    return [Trial(queries, drawn) for drawn in _draws(dataset, protocol, gallery)]


def _draws(dataset: CrossModalityDataset, protocol: Protocol, listings: list[Listing]) -> list[list[str]]:
    if protocol.draw == "everything":
        return [_flat(listings)]
    if protocol.draw == "seeded":
        return [_seeded(listings, trial) for trial in range(protocol.trials)]
    return dataset.official_trials(listings, protocol.trials, protocol.shots)


def _seeded(listings: list[Listing], trial: int) -> list[str]:
    # Draws the same images as `random.seed(trial)` in the reference loaders, without the global generator.
    generator = random.Random(trial)
    return [generator.choice(images) for _, _, images in listings]


def _flat(listings: list[Listing]) -> list[str]:
    return [path for _, _, images in listings for path in images]
