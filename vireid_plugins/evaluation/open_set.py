"""Open-set identification: a threshold keeps unknown people out, and a rate says how many known ones are still found.

The definitions are those of ISO/IEC 19795-1 and of Grother, Ngan and Hanaoka, "Face Recognition Vendor Test Part 2:
Identification", NISTIR 8271, 2019; the DIR curve is that of Phillips, Grother and Micheals, "Evaluation Methods in Face
Recognition", 2005. A query is genuine if the gallery has images of its identity, and an impostor if it has none. Its
score is the best similarity to an image of the gallery.

- FPIR, the false-positive identification rate: the share of impostors that are accepted.
- TPIR, the true-positive identification rate, also called detection and identification rate (DIR): the share of genuine
  queries that are accepted and whose most similar image is of their identity.

There is one rule for equality: a query is accepted if its similarity is at least the threshold. Similarities are
compared as float64, which holds those of float32 exactly.

Shapes: `Q` queries, `G` gallery images, `n` impostors, `R` rates.
"""

import math
import random
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from vireid_plugins.errors import ConfigError, DataError, FeatureError
from vireid_plugins.evaluation.types import Ints

# The FPIRs whose TPIR is a score.
RATES = (0.01, 0.1)
# The FPIRs of the points of a DIR curve: ten per decade, 0.001, 0.01, 0.1 and 1 among them.
CURVE = tuple(round(10 ** (step / 10 - 3), 6) for step in range(31))


class Identified(NamedTuple):
    """What became of the queries of one draw.

    Attributes:
        best: (Q,) float64, best similarity to a gallery image that no camera rule excludes; -inf if there is none.
        right: (Q,) true if the most similar image is of the query's identity.
        genuine: (Q,) true if the gallery has an image of the identity that no camera rule excludes.
        impostor: (Q,) true if the gallery has no image of the identity.
    """

    best: npt.NDArray[np.float64]
    right: npt.NDArray[np.bool_]
    genuine: npt.NDArray[np.bool_]
    impostor: npt.NDArray[np.bool_]

    def threshold(self, rate: float) -> float:
        """Return the threshold for a FPIR; see `threshold_for`."""
        return threshold_for(self.best[self.impostor], rate)

    def fpir(self, threshold: float) -> float:
        """Return the share of impostors that a threshold accepts."""
        return float(accepted(self.best[self.impostor], threshold).mean())

    def tpir(self, threshold: float) -> float:
        """Return the share of genuine queries that a threshold accepts and whose most similar image is right."""
        found = accepted(self.best[self.genuine], threshold) & self.right[self.genuine]
        return float(found.mean())

    def dir_curve(self, rates: Sequence[float] = CURVE) -> npt.NDArray[np.float64]:
        """Return the TPIR (R,) at each FPIR."""
        return np.array([self.tpir(self.threshold(rate)) for rate in rates])


def threshold_for(impostor_best: Any, rate: float) -> float:
    """Return the smallest threshold at which at most a share `rate` of impostors is accepted.

    That is the next float64 above the largest similarity that must not be accepted, and -inf if all may be. With fewer
    than 1 / `rate` impostors none is accepted.

    Args:
        impostor_best: (n,) the best similarity of each impostor; -inf if it has none.
        rate: FPIR, from 0 to 1.

    Raises:
        ConfigError: the rate is not from 0 to 1.
        FeatureError: there are no impostors, or a similarity is NaN or infinitely large.
    """
    if not 0 <= rate <= 1:
        raise ConfigError(f"FPIR: must be from 0 to 1, got {rate}")
    best = np.asarray(impostor_best, np.float64)
    if best.ndim != 1 or not len(best):
        raise FeatureError(f"a threshold needs the similarities (n,) of at least one impostor; got {best.shape}")
    if not (best < np.inf).all():
        raise FeatureError("a threshold needs similarities below infinity; some are NaN or infinite")
    allowed = math.floor(rate * len(best))
    # The product is rounded: 0.29 * 100 is below 29.
    allowed += (allowed + 1) / len(best) <= rate
    if allowed >= len(best):
        return -math.inf
    refused = np.partition(best, len(best) - 1 - allowed)[len(best) - 1 - allowed]
    return math.nextafter(float(refused), math.inf)


def accepted(best: Any, threshold: float) -> npt.NDArray[np.bool_]:
    """Return which similarities a threshold accepts: those at or above it."""
    similar: npt.NDArray[np.bool_] = np.asarray(best, np.float64) >= threshold
    return similar


def unresolved(impostors: int, rate: float) -> bool:
    """Return whether there are too few impostors for a FPIR above 0 to be reached without exceeding `rate`."""
    return 1 / impostors > rate


def score_name(rate: float) -> str:
    """Return the name of the TPIR at a FPIR, as in `TPIR@FPIR=1%`."""
    return f"TPIR@FPIR={100 * rate:g}%"


def enrolled_images(identities: Iterable[int], query: Ints, gallery: Ints, draw: int) -> npt.NDArray[np.bool_]:
    """Return which gallery images (G,) stay in a draw: those of enrolled identities.

    Args:
        identities: see `enrolled`.
        query: (Q,) identities of the queries.
        gallery: (G,) identities of the gallery images.
        draw: see `enrolled`.

    Raises:
        DataError: no query is of an unknown identity; see also `enrolled`.
    """
    known = enrolled(identities, draw)
    if np.isin(query, known).all():
        raise DataError(f"all queries are of the {len(known)} identities that draw {draw} enrolls, so none is unknown")
    stay: npt.NDArray[np.bool_] = np.isin(gallery, known)
    return stay


def enrolled(identities: Iterable[int], draw: int) -> list[int]:
    """Return the half of the identities, rounded down, that is enrolled in a draw.

    It depends on the identities and the number of the draw alone, and has a generator of its own.

    Args:
        identities: those of all test images, in any order and as often as they occur.
        draw: its number from 0.

    Raises:
        DataError: there are fewer than two identities.
    """
    known = sorted(set(identities))
    if len(known) < 2:
        raise DataError(f"an open set needs at least two identities, one of them unknown; there are {len(known)}")
    return random.Random(f"open {draw}").sample(known, len(known) // 2)
