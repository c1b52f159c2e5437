"""Array types used in evaluation."""

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

Ints = npt.NDArray[np.integer[Any]]
Floats = npt.NDArray[np.floating[Any]]


class Labels(NamedTuple):
    """Identities and cameras, each (n,)."""

    ids: Ints
    cams: Ints


class Names(NamedTuple):
    """What the numbers of `Labels` stand for, where labels were given as other numbers or as text.

    Attributes:
        ids: (n,) the identity of each number; None: the numbers are the identities.
        cams: (m,) likewise.
    """

    ids: npt.NDArray[Any] | None = None
    cams: npt.NDArray[Any] | None = None

    def of(self, labels: Labels) -> Labels:
        """Return labels as they were given."""
        return Labels(
            labels.ids if self.ids is None else self.ids[labels.ids],
            labels.cams if self.cams is None else self.cams[labels.cams],
        )
