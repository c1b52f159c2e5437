"""A gallery's answer to "is this person here?": match, unsure or nobody, at a stated false-match rate.

Thresholds are set from people who are not in the gallery: each of their images is a query, and its best cosine is what
a wrong match looks like. At `match` at most a share `rate` of those queries would be called a match, at `unsure` a
share `UNSURE` of them; see `vireid_plugins.evaluation.open_set` for the rule. With fewer than 1 / `rate` queries none
of them would be one. The more images a gallery has, the more similar is the best of the wrong ones: calibrate again
when it has grown.
"""

import json
import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from vireid_plugins.errors import DataError
from vireid_plugins.evaluation.open_set import threshold_for
from vireid_plugins.io.regular import sha256_of
from vireid_plugins.search.engines.base import damaged
from vireid_plugins.search.gallery import Gallery
from vireid_plugins.search.querying import QueryResult
from vireid_plugins.search.similarity import DIGITS, matches

RATE, UNSURE = 0.01, 0.1
MATCH, NOT_SURE, NOBODY = "match", "unsure", "nobody"
FACT = "thresholds"
# Cosine that an image has to itself at least, also in half precision and beside other images of a batch.
_ALIKE = 0.99
# What a gallery may be calibrated with: images of people who are not in it, labels of what was found in it, or labeled
# pairs of other images (`vireid_plugins.search.pairs`).
SOURCES = ("strangers", "marks", "pairs")


@dataclass(frozen=True)
class Thresholds:
    """Cosines of DIGITS digits, and how they were found.

    Attributes:
        match: from here on a hit is a match.
        unsure: from here on, and below `match`, it may be one.
        rate: share of unknown people's queries that are called a match at most.
        queries: number of queries that the thresholds are from.
        images: number of images in the gallery then.
        source: one of SOURCES, what the gallery was calibrated with.
        least_queries: number of queries from which on one of them may be called a match.
    """

    match: float
    unsure: float
    rate: float
    queries: int
    images: int
    source: str = "strangers"
    least_queries: float = 0.0

    def verdict(self, cosine: float | None) -> str:
        """Return MATCH, NOT_SURE or NOBODY for the best cosine of a query; None where it has no hit."""
        if cosine is None or not matches(cosine, self.unsure):
            return NOBODY
        return MATCH if matches(cosine, self.match) else NOT_SURE


def thresholds_from(unknown: Sequence[QueryResult], images: int, rate: float = RATE) -> Thresholds:
    """Return the thresholds for a gallery.

    Args:
        unknown: results of queries for people who are not in the gallery.
        images: number of images in the gallery.
        rate: share of such queries that may be called a match.

    Raises:
        ConfigError: the rate is not from 0 to 1.
        DataError: no query has a hit.
    """
    best = [one.hits[0].cosine if one.hits else -math.inf for one in unknown]
    if max(best, default=-math.inf) == -math.inf:
        raise DataError("no image of an unknown person has a hit; are the conditions too narrow?")
    return thresholds_at(best, images, rate)


def require_unknown(results: Sequence[QueryResult]) -> None:
    """Raise a `DataError` if a query for an unknown person is itself an image of the gallery, and was found."""
    for one in results:
        # Hashing reads the file again.
        if one.hits and one.hits[0].cosine > _ALIKE and one.hits[0].record.digest == sha256_of(Path(one.query)):
            raise DataError(
                f"'{one.query}' is in the gallery, so its person is known; calibrate with images of others, or with "
                "--find, which leaves a query itself out"
            )


def thresholds_at(
    best: Sequence[float], images: int, rate: float, times: float = 1.0, source: str = "strangers"
) -> Thresholds:
    """Return the thresholds from the best wrong cosine of each query.

    Args:
        best: the cosines, -inf where a query has none.
        images: number of images in the gallery.
        rate: share of unknown people's queries that may be called a match.
        times: how often as many images as the cosines are the best of are in the gallery.
        source: one of SOURCES.

    Raises:
        ConfigError: the rate is not from 0 to 1.
    """
    match, unsure = (_rounded_up(threshold_for(best, share / times)) for share in (rate, max(rate, UNSURE)))
    return Thresholds(match, unsure, rate, len(best), images, source, times / rate if rate else 0.0)


def _rounded_up(threshold: float) -> float:
    """Return the next cosine of DIGITS digits at or above a threshold; -1 if everything is accepted."""
    return -1.0 if threshold == -math.inf else min(math.ceil(threshold * 10**DIGITS) / 10**DIGITS, 1 + 10**-DIGITS)


def keep(gallery: Gallery, thresholds: Thresholds) -> None:
    """Write thresholds into a gallery."""
    gallery.engine.set_facts({FACT: json.dumps(asdict(thresholds))})


def thresholds_of(gallery: Gallery) -> Thresholds | None:
    """Return the thresholds of a gallery; None if it was never calibrated.

    Raises:
        DataError: they are damaged.
    """
    text = gallery.engine.facts().get(FACT)
    if text is None:
        return None
    try:
        found: dict[str, Any] = json.loads(text)
        thresholds = Thresholds(**found)
        if thresholds.source not in SOURCES:
            raise ValueError(f"its thresholds are from '{thresholds.source}'")
        if not all(isinstance(value, int | float) for name, value in found.items() if name != "source"):
            raise ValueError("its thresholds are no numbers")
    except (ValueError, TypeError, RecursionError) as error:
        raise damaged(gallery.folder, str(error)) from None
    return thresholds
