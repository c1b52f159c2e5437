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
