"""Scores features under a protocol."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from vireid_plugins.data.datasets import SYSUMM01
from vireid_plugins.errors import FeatureError
from vireid_plugins.evaluation.draws import sysu_galleries
from vireid_plugins.evaluation.metrics import Floats, Ranking, evaluate_ranking
from vireid_plugins.evaluation.protocols import Protocol, require_protocols
from vireid_plugins.evaluation.report import ProtocolResult

Labels = npt.NDArray[np.int64]


def evaluate_protocol(
    features: Floats,
    paths: Sequence[str],
    protocol: str | Protocol,
    data_root: str | Path,
    split: int | None = None,
) -> ProtocolResult:
    """Score features under a protocol, by cosine similarity.

    Args:
        features: (n, D); normalised here.
        paths: n image paths relative to the data set's folder; more images than the protocol uses do no harm.
        protocol: a name in `PROTOCOLS`, or a protocol.
        data_root: the folder that holds the data set's folder, or that folder itself.
        split: for data sets with splits; SYSU-MM01 has none.

    Raises:
        ConfigError: no protocol has that name.
        DataError: the data set's files are missing or do not fit.
        FeatureError: the features are no finite (n, D) array, or an image is missing or doubled; the message names it.
    """
    if isinstance(protocol, str):
        protocol = require_protocols([protocol])[0]
    if split is not None:
        raise FeatureError(f"{protocol.dataset} has no splits, but split {split} was asked for")
    return score(features, paths, protocol, SYSUMM01(root=str(data_root)))


def score(features: Floats, paths: Sequence[str], protocol: Protocol, dataset: SYSUMM01) -> ProtocolResult:
    """Score features under a protocol on a data set that is already read; see `evaluate_protocol`."""
    features = normalised(features, paths)
    row_of = {path: row for row, path in enumerate(paths)}
    query = [str(Path(path).relative_to(dataset.folder)) for path, _, _ in dataset.query]
    return ProtocolResult(
        protocol, [_trial(features, row_of, query, gallery, protocol) for gallery in sysu_galleries(dataset, protocol)]
    )


def check_galleries(dataset: SYSUMM01, protocols: Sequence[Protocol]) -> None:
    """Draw every gallery once, so that files that are missing or do not fit are found before a training and not after.

    Raises:
        DataError: see `sysu_galleries`.
    """
    for protocol in protocols:
        sysu_galleries(dataset, protocol)


def normalised(features: Floats, paths: Sequence[str]) -> Floats:
    """Return the features L2-normalised, after checking them and their paths.

    Raises:
        FeatureError: see `evaluate_protocol`.
    """
    features = np.asarray(features)
    if features.ndim != 2 or len(features) != len(paths):
        raise FeatureError(f"features must be (n, D) for n paths; got {features.shape} for {len(paths)} paths")
    broken = ~np.isfinite(features).all(axis=1)
    if broken.any():
        first = paths[int(broken.argmax())]
        raise FeatureError(f"the features of {broken.sum()} images are not finite, the first: {first}")
    names, counts = np.unique(np.asarray(paths, dtype=str), return_counts=True)
    if (counts > 1).any():
        raise FeatureError(f"{(counts > 1).sum()} paths occur more than once, the first: {names[counts > 1][0]}")
    norms = np.linalg.norm(features, axis=1, keepdims=True)
    scaled: Floats = features / np.maximum(norms, np.finfo(features.dtype).tiny)
    return scaled


def _trial(
    features: Floats, row_of: dict[str, int], query: list[str], gallery: list[str], protocol: Protocol
) -> Ranking:
    missing = [path for path in (*query, *gallery) if path not in row_of]
    if missing:
        raise FeatureError(
            f"{protocol.name}: {len(missing)} images have no features, the first: {missing[0]}. Paths must be relative "
            "to the data set's folder, as cam3/0006/0001.jpg"
        )
    query_rows, gallery_rows = [row_of[p] for p in query], [row_of[p] for p in gallery]
    distance = 1 - features[query_rows] @ features[gallery_rows].T
    query_ids, query_cams = labels(query)
    gallery_ids, gallery_cams = labels(gallery)
    return evaluate_ranking(distance, query_ids, gallery_ids, query_cams, gallery_cams, protocol.drop, protocol.cmc)


def labels(paths: Sequence[str]) -> tuple[Labels, Labels]:
    """Return identities and cameras from paths `cam3/0006/0001.jpg`."""
    parts = [Path(path).parts for path in paths]
    return np.array([int(p[1]) for p in parts]), np.array([int(p[0].removeprefix("cam")) for p in parts])
