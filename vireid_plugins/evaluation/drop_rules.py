"""Which gallery images are excluded for a query: rules as tables."""

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from vireid_plugins.data.datasets.base import CameraPairs
from vireid_plugins.evaluation.types import Ints, Labels


class DropRule(NamedTuple):
    """Which gallery images are excluded from a query's ranking.

    Attributes:
        pairs: (query camera, gallery camera); images of the second are excluded for queries of the first.
        same_camera: exclude images of the query's identity in the query's camera.
    """

    pairs: CameraPairs = ()
    same_camera: bool = False

    def hides(self, query: Any, gallery: Any) -> Any:
        """Return (Q, G), true where the gallery image is excluded for the query.

        Args:
            query: `Labels` of arrays, or of tensors on one device; the result is of the same kind.
            gallery: likewise.
        """
        same = (query.ids[:, None] == gallery.ids) & (query.cams[:, None] == gallery.cams)
        hidden = same & self.same_camera
        for query_camera, gallery_camera in self.pairs:
            hidden = hidden | ((query.cams[:, None] == query_camera) & (gallery.cams == gallery_camera))
        return hidden


def no_match(query: Labels, gallery: Labels, rule: DropRule, name: str = "") -> str:
    """Return a message on why no query can be scored, given that none has a match.

    Args:
        query: labels of the queries.
        gallery: labels of the gallery.
        rule: what is excluded.
        name: of the rule, if it has one.
    """
    text = "no query has a match in the gallery, so nothing can be scored"
    if not len(query.ids) or not len(gallery.ids):
        return f"{text}: there are {len(query.ids)} queries and {len(gallery.ids)} gallery images"
    if not np.isin(query.ids, gallery.ids).any():
        return f"{text}: they share no identity (queries {_some(query.ids)}, gallery {_some(gallery.ids)})"
    named = f'drop="{name}"' if name else str(rule)
    return (
        f"{text}: the camera rule {named} excludes every match (queries from cameras {_some(query.cams)}, the gallery "
        f'from {_some(gallery.cams)}); images of a single camera need drop="none"'
    )


def _some(numbers: Ints) -> str:
    found = np.unique(numbers)
    return ", ".join(map(str, found[:10])) + ", ..." * (len(found) > 10)


def drop_rules(unseen: Mapping[str, CameraPairs]) -> dict[str, DropRule]:
    """Return every drop rule by its name.

    Args:
        unseen: the rules of a data set, see `CrossModalityDataset.unseen`.
    """
    of_dataset = {name: DropRule(pairs) for name, pairs in unseen.items()}
    return {"none": DropRule(), **of_dataset, "same_camera": DropRule(same_camera=True)}
