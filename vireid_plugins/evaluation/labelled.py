"""Score features or distances whose labels are given, without a data set on disk.

Shapes: `n` images, `Q` queries, `G` gallery images, `D` embedding.
"""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from vireid_plugins.data.batch import INFRARED, VISIBLE
from vireid_plugins.data.datasets.own_images import MODALITY_WORDS, modality_of
from vireid_plugins.errors import ConfigError, FeatureError
from vireid_plugins.evaluation import lengths
from vireid_plugins.evaluation.distances import rankable, require_metric
from vireid_plugins.evaluation.feature_ranking import rank_features
from vireid_plugins.evaluation.feature_rows import FeatureRows, comparable, row_or_slice
from vireid_plugins.evaluation.feature_table import check_features
from vireid_plugins.evaluation.features import FEATURES
from vireid_plugins.evaluation.labels import labels_of
from vireid_plugins.evaluation.metrics import DROPS, Ranking, rank
from vireid_plugins.evaluation.open_set import enrolled_images
from vireid_plugins.evaluation.postprocess import NONE, PostProcessing
from vireid_plugins.evaluation.protocols import ENROLLMENTS, Protocol, open_form
from vireid_plugins.evaluation.rank_positions import Selection
from vireid_plugins.evaluation.results import ProtocolResult
from vireid_plugins.evaluation.types import Floats, Labels

# What is read, and the names under which people store it, in lower case.
NAMES: Mapping[str, tuple[str, ...]] = {
    "distance": ("distance", "distances", "distmat", "dist"),
    "features": FEATURES,
    "ids": ("ids", "id", "labels", "label", "pids", "targets"),
    "cams": ("cams", "cam", "camids", "cameras"),
    "modalities": ("modalities", "modality"),
    **{
        f"{side}_{what}": (f"{side}_{what}", *(f"{side}_{other}" for other in others))
        for side in ("query", "gallery")
        for what, others in (
            ("features", ("f", "feat", "feature", "feats")),
            ("ids", ("label", "labels", "id", "pids")),
            ("cams", ("cam", "camids", "cameras")),
        )
    },
}
# The sets of arrays of which one is needed.
WAYS = (
    ("distance", "query_ids", "gallery_ids"),
    ("query_features", "query_ids", "gallery_features", "gallery_ids"),
    ("features", "ids", "modalities"),
)
NOTE = "your own labels"
GIVEN = "given"


class Scoring(NamedTuple):
    """How to score: see `evaluate_ranking`, `PostProcessing`, `METRICS` and, for an open set, `open_set`."""

    drop: str = "none"
    cmc: str = "ordinary"
    metric: str = "cosine"
    postprocessing: PostProcessing = NONE
    device: str = "cpu"
    open_set: bool = False


def score_labelled(arrays: Mapping[str, Any], scoring: Scoring) -> list[ProtocolResult]:
    """Score a distance matrix, the features of two sides, or those of both modalities in both directions.

    Args:
        arrays: by the names of `NAMES`, all of one of `WAYS`; cameras where the rule reads them.
        scoring: how.

    Raises:
        ConfigError: post-processing is asked for, and there are no features.
        FeatureError: arrays are missing, malformed, or do not fit each other.
    """
    require_metric(scoring.metric)
    scoring.postprocessing.check(scoring.metric)
    way = next((way for way in WAYS if all(name in arrays for name in way)), None)
    if way is None:
        ways = "; or ".join(", ".join(way) for way in WAYS)
        found = ", ".join(arrays) or "nothing"
        raise FeatureError(f"found {found}; needed are {ways}; or name a protocol (--protocol, --dataset)")
    if way == WAYS[0]:
        if scoring.postprocessing:
            raise ConfigError(
                "re-ranking, query expansion and affinity inference need features, and distances are given"
            )
        distance = rankable(arrays["distance"])
        selections = _selections(_sides(arrays), tuple(distance.shape), scoring)
        return [_result("query to gallery", rank(distance, selections), scoring, GIVEN)]
    if way == WAYS[1]:
        return [_of_features("query to gallery", _sides(arrays), scoring)]
    return [_of_features(name, sides, scoring) for name, sides in _directions(arrays).items()]


def _sides(arrays: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return what is known about the queries and about the gallery."""
    return [
        {what: arrays.get(f"{side}_{what}") for what in ("features", "ids", "cams")} | {"name": side}
        for side in ("query", "gallery")
    ]


def _directions(arrays: Mapping[str, Any]) -> dict[str, list[dict[str, Any]]]:
    """Return both sides of `i2v` and `v2i`."""
    features = np.asarray(arrays["features"])
    rows = {name: flat(arrays[name], name) for name in ("ids", "cams", "modalities") if name in arrays}
    for name, row in rows.items():
        if len(row) != len(features):
            raise FeatureError(f"{name}: has {len(row)} values for {len(features)} images")
    modalities = modalities_of(rows.pop("modalities"))
    parts: dict[int, dict[str, Any]] = {}
    for modality, name in ((VISIBLE, "visible"), (INFRARED, "infrared")):
        chosen = np.flatnonzero(modalities == modality)
        if not len(chosen):
            raise FeatureError(f"modalities: no image is {name}")
        parts[modality] = {"name": name, "features": features[row_or_slice(chosen)], "cams": None}
        parts[modality] |= {what: row[chosen] for what, row in rows.items()}
    return {"i2v": [parts[INFRARED], parts[VISIBLE]], "v2i": [parts[VISIBLE], parts[INFRARED]]}


def modalities_of(values: npt.NDArray[Any]) -> npt.NDArray[np.int64]:
    """Return modalities, given as 0 and 1 or as words, as 0 visible and 1 infrared.

    Raises:
        FeatureError: a value is neither.
    """
    # A number of MATLAB is a float, and a row may say which images are infrared.
    words = [f"{value:g}" if isinstance(value, float | bool) else str(value) for value in values.tolist()]
    table = {word: modality_of(word) for word in set(words)}
    unknown = sorted(word for word, modality in table.items() if modality is None)
    if unknown:
        raise FeatureError(f"modalities: unknown value '{unknown[0]}'; known are {', '.join(MODALITY_WORDS)}")
    return np.array([table[word] for word in words], np.int64)


def flat(values: Any, name: str) -> npt.NDArray[Any]:
    """Return labels as a row; MATLAB knows only matrices.

    Raises:
        FeatureError: they are a matrix of several rows and columns.
    """
    array = np.asarray(values)
    if array.ndim == 2 and 1 in array.shape:
        array = array.reshape(-1)
    if array.ndim != 1:
        raise FeatureError(f"{name}: must be one value per image; got {array.shape}")
    return array


def _of_features(name: str, sides: Sequence[dict[str, Any]], scoring: Scoring) -> ProtocolResult:
    """Score the features of two sides."""
    query, gallery = (_features(side) for side in sides)
    if query.shape[1] != gallery.shape[1]:
        widths = f"{query.shape[1]} ({sides[0]['name']}) and {gallery.shape[1]} ({sides[1]['name']})"
        raise FeatureError(f"features: both sides must have one width, got {widths}")
    exponents = (0, 0)
    if scoring.metric != "cosine":
        lowest, highest = zip(lengths.exponents_of(query), lengths.exponents_of(gallery), strict=True)
        exponents = (min(lowest), max(highest))
    prepare = comparable(scoring.metric, exponents)
    left, right = FeatureRows(query, prepare), FeatureRows(gallery, prepare)
    rankings = []
    for selection in _selections(sides, (len(query), len(gallery)), scoring):
        if scoring.postprocessing:
            images = right.at(row_or_slice(selection.columns))
            distance = scoring.postprocessing.at(name).distance(left.whole(), images, scoring.metric)
            rankings += rank(distance, [selection._replace(columns=np.arange(len(images)))])
        else:
            rankings.append(rank_features(left, right, selection, scoring.metric, scoring.device))
    return _result(name, rankings, scoring, scoring.metric)


def _features(side: dict[str, Any]) -> Floats:
    """Return the checked features of one side."""
    count, features = len(flat(side["ids"], f"{side['name']}_ids")), np.asarray(side["features"])
    if features.ndim != 2 or len(features) != count:
        raise FeatureError(f"{side['name']} features: must be (n, D) for {count} identities, got {features.shape}")
    return check_features(features, _Numbered(count), f"{side['name']} features")


class _Numbered(Sequence[str]):
    """Names of rows, made when they are asked for."""

    def __init__(self, count: int) -> None:
        self.rows = count

    def __len__(self) -> int:
        return self.rows

    def __getitem__(self, number: Any) -> Any:
        return f"row {number}"


def _selections(sides: Sequence[dict[str, Any]], shape: tuple[int, ...], scoring: Scoring) -> list[Selection]:
    """Return the labels of both sides, after checking that they fit distances of a shape.

    An open set has them once per draw.
    """
    rule = DROPS[scoring.drop]
    ids: Any = [flat(side["ids"], f"{side['name']}_ids") for side in sides]
    cams: Any = [None if side["cams"] is None else flat(side["cams"], f"{side['name']}_cams") for side in sides]
    query, gallery, names = labels_of(ids[0], ids[1], cams[0], cams[1], scoring.drop, rule)
    sizes, cameras = (len(query.ids), len(gallery.ids)), (len(query.cams), len(gallery.cams))
    if shape != sizes or cameras != sizes:
        raise FeatureError(
            f"the sizes (queries, gallery) do not match: distance {shape}, ids {sizes}, cameras {cameras}"
        )
    rows, columns = (np.arange(size) for size in sizes)
    every = Selection(rows, columns, query, gallery, rule, distinct=scoring.cmc == "distinct_id", names=names)
    if not scoring.open_set:
        return [every]
    found = []
    for draw in range(ENROLLMENTS):
        stay = enrolled_images([*query.ids.tolist(), *gallery.ids.tolist()], query.ids, gallery.ids, draw)
        left = Labels(gallery.ids[stay], gallery.cams[stay])
        found.append(every._replace(columns=np.flatnonzero(stay), gallery=left, open_set=True))
    return found


def _result(name: str, rankings: list[Ranking], scoring: Scoring, metric: str) -> ProtocolResult:
    """Return the scores as those of a protocol without a data set."""
    direction = name if name in ("i2v", "v2i") else ""
    protocol = Protocol(name, "", direction, scoring.cmc, scoring.drop, NOTE, note=NOTE)
    if scoring.open_set:
        protocol = open_form(protocol)
    return ProtocolResult(protocol, rankings, None, str(scoring.postprocessing.at(name)), metric)
