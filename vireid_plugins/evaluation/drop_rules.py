"""Which gallery images a query does not see: rules as tables."""

from collections.abc import Mapping
from typing import Any, NamedTuple

from vireid_plugins.data.datasets.base import CameraPairs


class DropRule(NamedTuple):
    """Gallery images that are left out of a query's ranking.

    Attributes:
        pairs: (query camera, gallery camera): a query of the first does not see images of the second.
        same_camera: a query does not see images of its own identity in its own camera.
    """

    pairs: CameraPairs = ()
    same_camera: bool = False

    def hides(self, query: Any, gallery: Any) -> Any:
        """Return (Q, G), true where the query does not see the gallery image.

        Args:
            query: `Labels` of arrays, or of tensors on one device; the result is of the same kind.
            gallery: likewise.
        """
        same = (query.ids[:, None] == gallery.ids) & (query.cams[:, None] == gallery.cams)
        hidden = same & self.same_camera
        for asking, asked in self.pairs:
            hidden = hidden | ((query.cams[:, None] == asking) & (gallery.cams == asked))
        return hidden


def drop_rules(unseen: Mapping[str, CameraPairs]) -> dict[str, DropRule]:
    """Return every drop rule by its name.

    Args:
        unseen: the rules of a data set, see `CrossModalityDataset.unseen`.
    """
    named = {name: DropRule(pairs) for name, pairs in unseen.items()}
    return {"none": DropRule(), **named, "same_camera": DropRule(same_camera=True)}
