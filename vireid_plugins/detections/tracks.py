"""Tracks: the crops of one person in one camera, and one vector for all of them."""

from collections.abc import Iterable
from typing import Any, Literal, NamedTuple

import numpy as np
import numpy.typing as npt

from vireid_plugins.detections.sidecar import Crop
from vireid_plugins.errors import FeatureError, require_name

How = Literal["mean", "best"]


class Track(NamedTuple):
    """The crops of a track in the order of their frames; a crop without a track is one of its own.

    Attributes:
        camera: name of the camera; empty if unknown.
        name: name of the track; empty if its only crop has none.
        rows: indices of its crops in the list that was given, the link back to files and frames.
    """

    camera: str
    name: str
    rows: tuple[int, ...]


def tracks_of(crops: Iterable[Crop]) -> list[Track]:
    """Return the tracks of crops, in the order in which they begin in the list."""
    listed = list(crops)
    rows: dict[tuple[str, ...], list[int]] = {}
    for row, crop in enumerate(listed):
        alone = () if crop.track else (crop.file,)
        rows.setdefault((crop.camera, crop.track, *alone), []).append(row)
    return [
        Track(key[0], key[1], tuple(sorted(found, key=lambda row: listed[row].frame))) for key, found in rows.items()
    ]


def represent(vectors: npt.NDArray[Any], quality: npt.NDArray[Any], how: How = "mean") -> npt.NDArray[Any]:
    """Return one vector (D,) of length 1 for the crops of a track.

    Args:
        vectors: (n, D), the embeddings of its n >= 1 crops, of any length but 0.
        quality: (n,), what the crops are worth, not negative; see `vireid_plugins.detections.quality`.
        how: "mean", of the vectors at length 1 weighted by their quality, by equal weights if all quality is 0; or
            "best", the vector of the highest quality, the first of equals.

    Returns:
        (D,) of the type of `vectors`, float32 unless that is a type of floats.

    Raises:
        ConfigError: `how` is unknown.
        FeatureError: the shapes do not fit, there is no vector, a number is not finite, a quality is negative, a
            vector is 0, or the mean of vectors that point against each other is 0.
    """
    require_name("how", how, ("mean", "best"))
    vectors, quality = np.asarray(vectors), np.asarray(quality)
    if vectors.ndim != 2 or not vectors.size or quality.shape != vectors.shape[:1]:
        raise FeatureError(
            f"a track has vectors (n, D) and quality (n,), n and D at least 1; got {vectors.shape} and {quality.shape}"
        )
    kind = vectors.dtype if vectors.dtype.kind == "f" else np.dtype(np.float32)
    exact, weights = vectors.astype(np.float64), quality.astype(np.float64)
    if not (np.isfinite(exact).all() and np.isfinite(weights).all() and (weights >= 0).all()):
        raise FeatureError("vectors and quality of a track must be finite, and the quality not negative")
    unit = _unit(exact)
    if how == "best":
        return np.asarray(unit[int(weights.argmax())], kind)
    return np.asarray(_unit((weights if weights.any() else np.ones_like(weights)) @ unit / len(unit)), kind)


def _unit(vectors: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Return vectors (..., D) at length 1."""
    length = np.linalg.norm(vectors, axis=-1, keepdims=True)
    if not (length > 1e-12).all():
        raise FeatureError("a vector of a track, or their mean, is 0 and has no direction")
    return np.asarray(vectors / length)
