"""The test images of a data set by modality, and their features."""

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from vireid_plugins.data.batch import INFRARED, VISIBLE
from vireid_plugins.data.datasets import CrossModalityDataset
from vireid_plugins.errors import FeatureError
from vireid_plugins.evaluation.protocols import Protocol
from vireid_plugins.evaluation.types import Floats, Ints, Labels


class ImagesByModality:
    """The test images of a data set, in a fixed order per modality.

    Args:
        dataset: the data set.

    Attributes:
        paths: for each modality, the paths of its images relative to the data set's folder.
        labels: for each modality, the identities and cameras of its images.
        position: index of each path among the images of its modality.
    """

    def __init__(self, dataset: CrossModalityDataset) -> None:
        self.dataset = dataset
        items: dict[int, list[tuple[str, int, int]]] = {VISIBLE: [], INFRARED: []}
        for item in (*dataset.query, *dataset.gallery):
            items[dataset.modality(item)].append((dataset.relative(item), item[1], item[2]))
        self.paths = {modality: [path for path, _, _ in rows] for modality, rows in items.items()}
        self.labels = {
            modality: Labels(np.array([i for _, i, _ in rows], np.int64), np.array([c for _, _, c in rows], np.int64))
            for modality, rows in items.items()
        }
        self.position = {path: row for rows in self.paths.values() for row, path in enumerate(rows)}

    def labels_at(self, modality: int, positions: Ints) -> Labels:
        """Return the labels of a modality's images at these positions."""
        labels = self.labels[modality]
        return Labels(labels.ids[positions], labels.cams[positions])


class FeatureTable:
    """Features of test images.

    Args:
        images: the test images.
        features: (n, D) of any real type, converted to float32 or float64 if necessary.
        paths: n paths, absolute or relative to the data set's folder; images that are not tested are ignored.

    Raises:
        FeatureError: the features are not a finite (n, D) array, or an image occurs twice; the message names it.
    """

    def __init__(self, images: ImagesByModality, features: Floats, paths: Sequence[str]) -> None:
        self.images = images
        matrix = check_features(features, paths)
        keys = [self._key(str(path)) for path in paths]
        row_of = dict(zip(keys, range(len(keys)), strict=True))
        if len(row_of) < len(keys):
            seen: set[str] = set()
            repeated = [key for key in keys if key in seen or seen.add(key)]  # type: ignore[func-returns-value]
            raise FeatureError(f"{len(repeated)} paths occur more than once, the first: {repeated[0]}")
        key = images.dataset.key
        self._row: dict[int, Ints] = {
            modality: np.array([row_of.get(key(path), -1) for path in paths_of], np.int64)
            for modality, paths_of in images.paths.items()
        }
        self._matrix = matrix

    def require(self, protocol: Protocol, modality: int, used: Iterable[Ints]) -> None:
        """Raise a `FeatureError` that names the first image at the positions `used` without features, if any."""
        positions = np.unique(np.concatenate(list(used)))
        missing = positions[self._row[modality][positions] < 0]
        if len(missing):
            raise FeatureError(
                f"{protocol.name}: {len(missing)} images have no features, the first: "
                f"{self.images.paths[modality][missing[0]]}. Paths must be relative to the data set's folder, like "
                "this one"
            )

    def of(self, modality: int, normalize: bool = True) -> Floats:
        """Return the features of all images of a modality, L2-normalized or unchanged; missing features are zero."""
        rows = self._row[modality]
        features: Floats = self._matrix[rows] * (rows >= 0)[:, None]
        if not normalize:
            return features
        norms = np.linalg.norm(features, axis=1, keepdims=True)
        features /= np.maximum(norms, np.finfo(features.dtype).tiny)
        return features

    def _key(self, path: str) -> str:
        dataset = self.images.dataset
        return dataset.key(path.replace("\\", "/").removeprefix(f"{dataset.folder.absolute().as_posix()}/"))


def check_features(features: Any, paths: Sequence[str]) -> Floats:
    """Return the features as an array of float32 or float64.

    Raises:
        FeatureError: they are not a finite (n, D) array for n paths; the message names the first bad image.
    """
    if isinstance(features, Tensor):
        features = features.detach().cpu()
        features = features.float() if features.dtype == torch.bfloat16 else features
    matrix: npt.NDArray[Any] = np.asarray(features)
    if matrix.ndim != 2 or len(matrix) != len(paths) or not matrix.size:
        raise FeatureError(f"features must be (n, D) for n paths; got {matrix.shape} for {len(paths)} paths")
    if matrix.dtype.kind not in "fiu":
        raise FeatureError(f"features must be real numbers; got {matrix.dtype}")
    if matrix.dtype not in (np.float32, np.float64):
        matrix = matrix.astype(np.float32 if matrix.dtype == np.float16 else np.float64)
    broken = ~np.isfinite(matrix).all(axis=1)
    if broken.any():
        raise FeatureError(
            f"the features of {broken.sum()} images are not finite, the first: {paths[int(broken.argmax())]}"
        )
    return matrix
