"""Identities and cameras of any type as the whole numbers that rankings compare.

Shapes: `Q` queries, `G` gallery images.
"""

from typing import Any

import numpy as np
import numpy.typing as npt
from torch import Tensor

from vireid_plugins.errors import FeatureError, first_line
from vireid_plugins.evaluation.drop_rules import DropRule
from vireid_plugins.evaluation.types import Labels, Names


def labels_of(
    query_ids: Any, gallery_ids: Any, query_cams: Any, gallery_cams: Any, drop: str, rule: DropRule
) -> tuple[Labels, Labels, Names]:
    """Return the labels of queries and gallery, and what their numbers stand for; see `evaluate_ranking`.

    Cameras that the rule does not read may be of any type or None.

    Raises:
        FeatureError: labels are not one row of numbers or names, one side has names and the other numbers, or cameras
            that the rule reads are missing or are no whole numbers.
    """
    ids, names = _coded(_row(query_ids, "query_ids"), _row(gallery_ids, "gallery_ids"), "query_ids", "gallery_ids")
    given = {"query_cams": query_cams, "gallery_cams": gallery_cams}
    if not rule.pairs and not rule.same_camera:
        cams = [_unread(cams, len(one), name) for one, (name, cams) in zip(ids, given.items(), strict=True)]
        return Labels(ids[0], cams[0]), Labels(ids[1], cams[1]), Names(names)
    rows = []
    for name, cams in given.items():
        if cams is None:
            raise FeatureError(f"{name}: drop='{drop}' reads the cameras; give them, or use drop='none'")
        rows.append(_row(cams, name))
        if rule.pairs and (rows[-1].dtype.kind not in "iub" and not _whole(rows[-1])):
            raise FeatureError(f"{name}: drop='{drop}' needs camera numbers; got {rows[-1].dtype}")
    # Camera numbers stay as they are, since a rule may name some; names and the like become numbers.
    coded, cameras = ([row.astype(np.int64) for row in rows], None) if rule.pairs else _coded(rows[0], rows[1], *given)
    return Labels(ids[0], coded[0]), Labels(ids[1], coded[1]), Names(names, cameras)


def _row(values: Any, name: str) -> npt.NDArray[Any]:
    """Return labels as a row of numbers or text."""
    if np.ma.is_masked(values):
        raise FeatureError(f"{name}: must not be masked; every image needs a label")
    row = _array(values, name)
    if row.dtype == object and row.ndim == 1:
        # How pandas holds text.
        kinds = {type(value) for value in row}
        row = _array(row.tolist(), name) if len(kinds) <= 1 else row
    if row.ndim != 1 or (len(row) and row.dtype.kind not in "iubfUS"):
        raise FeatureError(f"{name}: must be one number or name per image; got {row.shape} of {row.dtype}")
    if row.dtype.kind == "f" and np.isnan(row).any():
        raise FeatureError(f"{name}: contains NaN; every image needs a label")
    return row


def _array(values: Any, name: str) -> npt.NDArray[Any]:
    try:
        if isinstance(values, Tensor):
            values = values.detach().cpu()
            values = (values.double() if values.is_floating_point() else values).numpy()
        return np.asarray(values)
    except (ValueError, TypeError, RuntimeError) as error:
        # Rows of several lengths; tensors that are sparse, without values, or in a list and on a GPU.
        raise FeatureError(f"{name}: must be one number or name per image: {first_line(error)}") from None


def _coded(
    left: npt.NDArray[Any], right: npt.NDArray[Any], *names: str
) -> tuple[list[npt.NDArray[np.int64]], npt.NDArray[Any]]:
    """Return both rows with equal labels replaced by equal numbers from 0 on, and the label of each number in order."""
    kinds = [row.dtype.kind if row.dtype.kind in "US" else "numbers" for row in (left, right) if len(row)]
    if len(set(kinds)) > 1:
        raise FeatureError(
            f"{names[0]} has {left.dtype} and {names[1]} {right.dtype}, so none of them can be equal; use one type"
        )
    both = [left, right]
    if left.dtype.kind != right.dtype.kind and np.result_type(*both).kind == "f":
        # Whole numbers that float64 does not tell apart.
        both = [row.astype(object) for row in both]
    found, codes = np.unique(np.concatenate(both), return_inverse=True)
    codes = codes.reshape(-1)
    return [codes[: len(left)], codes[len(left) :]], found


def _unread(cams: Any, images: int, name: str) -> npt.NDArray[np.int64]:
    """Return cameras that no rule reads, after checking their number."""
    if cams is not None:
        shape = tuple(cams.shape if hasattr(cams, "shape") else _array(cams, name).shape)
        if shape != (images,):
            raise FeatureError(f"{name}: the sizes do not match: {shape} cameras for {images} images")
    return np.zeros(images, np.int64)


def _whole(row: npt.NDArray[Any]) -> bool:
    return row.dtype.kind == "f" and bool((np.abs(row) < 2**63).all()) and bool((row == np.floor(row)).all())
