"""The test images of a data set by modality, and their features."""

import logging
from collections.abc import Container, Iterable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from vireid_plugins.data.batch import INFRARED, VISIBLE
from vireid_plugins.data.datasets import CrossModalityDataset
from vireid_plugins.data.datasets.base import require_items
from vireid_plugins.data.datasets.folders import without_suffix
from vireid_plugins.errors import FeatureError, first_line
from vireid_plugins.evaluation import lengths
from vireid_plugins.evaluation.feature_rows import FeatureRows, comparable
from vireid_plugins.evaluation.protocols import Protocol
from vireid_plugins.evaluation.types import Floats, Ints, Labels

logger = logging.getLogger("fastreid." + __name__)


class ImagesByModality:
    """The test images of a data set, in a fixed order per modality.

    Args:
        dataset: the data set.

    Raises:
        DataError: an item of the data set is malformed.

    Attributes:
        paths: for each modality, the paths of its images relative to the data set's folder.
        labels: for each modality, the identities and cameras of its images.
        position: index of each path among the images of its modality.
    """

    def __init__(self, dataset: CrossModalityDataset) -> None:
        self.dataset = dataset
        for kind in ("query", "gallery"):
            require_items(dataset, getattr(dataset, kind), kind)
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
        paths: n paths, relative to the data set's folder or below it under any root, with any image suffix; images
            that are not tested are ignored.
        where: name of the features in messages, such as their file.

    Raises:
        FeatureError: the features are not a finite (n, D) array without rows of zeros, or an image occurs twice; the
            message names it.
    """

    def __init__(self, images: ImagesByModality, features: Floats, paths: Sequence[str], where: str = "") -> None:
        self.images, self.where = images, where
        self._matrix = check_features(features, paths, where)
        self._exponents = lengths.exponents_of(self._matrix)
        keys = {
            modality: [image_key(images.dataset, path) for path in paths_of]
            for modality, paths_of in images.paths.items()
        }
        known = {key for of_modality in keys.values() for key in of_modality}
        # Most paths are given as the data set has them.
        as_listed = {
            path: key for modality in keys for path, key in zip(images.paths[modality], keys[modality], strict=True)
        }
        row_of: dict[str, int] = {}
        repeated: list[tuple[int, int]] = []
        for row, path in enumerate(map(str, paths)):
            key = as_listed.get(path) or _key_of_given(images.dataset, path, known)
            first = row_of.setdefault(key, row)
            if first != row:
                repeated.append((first, row))
        if repeated:
            first, row = repeated[0]
            raise FeatureError(
                f"{_prefix(where)}{len(repeated)} paths occur more than once, the first: {paths[row]} in rows {first} "
                f"and {row}; keep one row per image"
            )
        self._row: dict[int, Ints] = {
            modality: np.array([row_of.get(key, -1) for key in of_modality], np.int64)
            for modality, of_modality in keys.items()
        }
        self._example = str(paths[0])

    def require(self, protocol: Protocol, modality: int, used: Iterable[Ints]) -> None:
        """Raise a `FeatureError` that names the first image at the positions `used` without features, if any."""
        positions = np.unique(np.concatenate(list(used)))
        missing = positions[self._row[modality][positions] < 0]
        if len(missing):
            raise FeatureError(
                f"{_prefix(self.where)}{protocol.name}: {len(missing)} images have no features, the first: "
                f"{self.images.paths[modality][missing[0]]}. Paths must be relative to the data set's folder, like "
                f"this one; the first path given is {self._example!r}"
            )

    def of(self, modality: int, normalize: bool = True) -> Floats:
        """Return the features of all images of a modality, L2-normalized or not; missing features are zero.

        Without normalization, huge and tiny features of both modalities are divided by one power of two.
        """
        return self.rows_of(modality, "cosine" if normalize else "").whole()

    def rows_of(self, modality: int, metric: str) -> FeatureRows:
        """Return the features of a modality's images as the metric compares them, prepared where they are read."""
        return FeatureRows(self._matrix, comparable(metric, self._exponents), self._row[modality])


def image_key(dataset: CrossModalityDataset, path: str) -> str:
    """Return what identifies an image, whatever its suffix: `CrossModalityDataset.key` without it."""
    return without_suffix(dataset.key(path))


def _key_of_given(dataset: CrossModalityDataset, path: str, known: Container[str]) -> str:
    """Return the key of a path in a feature file, which may lie below another root."""
    path = path.replace("\\", "/").removeprefix(f"{dataset.folder.absolute().as_posix()}/")
    key = image_key(dataset, path)
    if key not in known:
        _, found, inside = f"/{path}".rpartition(f"/{dataset.dataset_dir}/")
        if found and (below := image_key(dataset, inside)) in known:
            return below
    return key


def check_features(features: Any, paths: Sequence[str], where: str = "") -> Floats:
    """Return the features as an array; log a warning if all are the same.

    An array in half, single or double precision stays as it is, so that one on disk is not read into memory; other
    numbers become float32 or float64.

    Args:
        features: (n, D).
        paths: n image paths.
        where: name of the features in messages, such as their file.

    Raises:
        FeatureError: they are not a finite (n, D) array for n paths, or some are zero; the message names the first bad
            image.
    """
    prefix = _prefix(where)
    if isinstance(features, Tensor):
        if features.layout != torch.strided or features.is_quantized or features.is_meta:
            form = "without values" if features.is_meta else f"{features.layout} of {features.dtype}"
            raise FeatureError(f"{prefix}features must be a dense tensor of real numbers; got one {form}")
        features = features.detach().cpu()
        usual = features.dtype in (torch.float32, torch.float64) or not features.is_floating_point()
        features = features if usual else features.float()
    if np.ma.is_masked(features):
        raise FeatureError(f"{prefix}features must not be masked; leave out the images without features")
    try:
        matrix: npt.NDArray[Any] = np.asarray(features)
    except (ValueError, TypeError, RuntimeError) as error:
        # Such as a list of tensors that are on a GPU or require gradients.
        raise FeatureError(f"{prefix}features must be (n, D) numbers: {first_line(error)}") from None
    if matrix.ndim != 2 or len(matrix) != len(paths) or not matrix.size:
        raise FeatureError(f"{prefix}features must be (n, D) for n paths; got {matrix.shape} for {len(paths)} paths")
    if matrix.dtype.kind not in "fiu":
        raise FeatureError(f"{prefix}features must be real numbers; got {matrix.dtype}")
    if matrix.dtype not in (np.float16, np.float32, np.float64):
        kind = np.float32 if matrix.dtype.kind == "f" and matrix.dtype.itemsize <= 4 else np.float64
        matrix = matrix.astype(kind)
    magnitudes = lengths.largest(matrix)
    for rows, problem in (
        (np.flatnonzero(~np.isfinite(magnitudes)), "are not finite"),
        (np.flatnonzero(magnitudes == 0), "have length zero"),
    ):
        if len(rows):
            raise FeatureError(f"{prefix}the features of {len(rows)} images {problem}, the first: {paths[rows[0]]}")
    if len(matrix) > 1 and np.array_equal(matrix[0], matrix[1]) and bool((matrix == matrix[0]).all()):
        logger.warning(
            "%sthe features of all %d images are the same, so the scores only show the order of the gallery",
            prefix,
            len(matrix),
        )
    return matrix


def _prefix(where: str) -> str:
    return f"{where}: " if where else ""
