"""Thresholds of a gallery from pairs of images that somebody has labeled: one person, or different people.

A CSV file has the columns `query`, `file` and `same` (yes, no, true, false, 1 or 0); paths are absolute or relative to
its folder. Of several lines on a pair the last counts.

A query is called a match by the *best* of all images of the gallery, so that the share of wrong pairs above a threshold
says little: with 1,000 images, one wrong pair in 100 makes nearly every query a match. What counts is a query's best
wrong image. It is found in one of two ways:

- In the gallery, if the labels tell: of the images that are not the query itself, not labeled as its person and not of
  a track that is, the nearest is labeled as somebody else. Where nobody has labeled it, the query tells nothing.
- If that is so of no query, such as for pairs of images that it does not have: the nearest of the `n` images that
  are labeled as somebody else. A gallery has more, `G`; its best wrong one is above a threshold at most G / n times as
  often, however the images depend on each other (the sum of the rates of G / n groups). So the rate is divided by that.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import numpy as np

from vireid_plugins.data.thermal import reporting
from vireid_plugins.errors import DataError
from vireid_plugins.io.csv_table import CsvTable
from vireid_plugins.io.regular import read_text
from vireid_plugins.search.calibration import Thresholds, thresholds_at
from vireid_plugins.search.embedding import embedded, not_read
from vireid_plugins.search.engines import Record
from vireid_plugins.search.engines.base import Vectors
from vireid_plugins.search.extractor import Extractor
from vireid_plugins.search.gallery import Gallery
from vireid_plugins.search.images import Found, Unread, find_images
from vireid_plugins.search.modality import modality_teller
from vireid_plugins.search.moved import one_spelling
from vireid_plugins.search.querying import Wanted, query_or_its_track
from vireid_plugins.search.similarity import cosines, matches
from vireid_plugins.search.tracks import frames_of

# The file of pairs in the folder of a gallery.
MARKS = "marks.csv"
COLUMNS = ("query", "file", "same")
_WORDS = {"yes": True, "true": True, "1": True, "no": False, "false": False, "0": False}
# Largest file that is read.
_MOST = 2**30
# By query, by image: whether both show the same person.
Pairs = dict[str, dict[str, bool]]


def read_pairs(file: Path) -> Pairs:
    """Return the pairs of a CSV file, by the one spelling of their paths.

    Raises:
        DataError: it cannot be read, lacks a column, or has a line that is none; the message names it.
    """
    try:
        table = CsvTable(file, read_text(file, _MOST))
    except OSError as error:
        raise DataError(f"'{file}' cannot be read: {error.strerror or error}") from None
    except UnicodeDecodeError as error:
        raise DataError(f"'{file}' is no text in UTF-8: {error.reason} at byte {error.start}") from None
    if missing := [name for name in COLUMNS if name not in table.header]:
        raise DataError(
            f"{table.where}: there is no column '{missing[0]}'; pairs have the columns {', '.join(COLUMNS)}"
        )
    pairs: Pairs = {}
    for row in table:
        query, image, same = (row[name] for name in COLUMNS)
        if not query or not image:
            raise DataError(f"{table.where}: a pair needs a query and a file")
        if same.lower() not in _WORDS:
            raise DataError(f"{table.where}: same is '{same}'; use yes or no, true or false, 1 or 0")
        pairs.setdefault(one_spelling(file.parent / query), {})[one_spelling(file.parent / image)] = _WORDS[
            same.lower()
        ]
    return pairs


@dataclass
class Calibrated:
    """What pairs gave.

    Attributes:
        thresholds: see `Thresholds`; its `queries` are those that told something.
        same: number of pairs of one person, and of those among them that reach the threshold of a match.
        different: the same of pairs of different people: the rate of a pair, not of a query.
        searched: number of images in the gallery that pass the conditions.
        untold: number of queries whose best image is labeled by nobody.
        unread: images that could not be read; their pairs were left out.
    """

    thresholds: Thresholds
    same: tuple[int, int]
    different: tuple[int, int]
    searched: int
    untold: int
    unread: list[Unread] = field(default_factory=list)


class _Labeled(NamedTuple):
    """A query, its vector (D,), and the labels and cosines of images that could be read, by path."""

    image: Found
    vector: Vectors
    labels: Mapping[str, bool]
    cosines: Mapping[str, float]


@reporting()
def calibrate_with_pairs(
    gallery: Gallery, extractor: Extractor, pairs: Pairs, way: str, wanted: Wanted, rate: float
) -> Calibrated:
    """Return the thresholds that pairs give for a gallery; see the module.

    Args:
        gallery: the gallery.
        extractor: makes the vectors of queries, and of images that the gallery does not have.
        pairs: the pairs.
        way: how modalities are determined, `visible`, `infrared` or `auto`.
        wanted: the modality and the conditions that are searched with.
        rate: share of queries for unknown people that may be called a match.

    Raises:
        ConfigError: the rate is not from 0 to 1.
        DataError: no query tells anything.
    """
    unread: list[Unread] = []
    queries = _vectors(extractor, sorted(pairs), way, unread)
    records = {one.key: one for one in gallery.records()}
    known = sorted({path for labels in pairs.values() for path in labels} & set(records))
    images = dict(zip(known, gallery.engine.vectors(known), strict=True)) if known else {}
    others = sorted({path for labels in pairs.values() for path in labels} - set(images))
    images |= {path: vector for path, (_, vector) in _vectors(extractor, others, way, unread).items()}
    labeled = []
    for path, (image, vector) in queries.items():
        labels = {other: same for other, same in pairs[path].items() if other in images and other != path}
        found = cosines(vector, np.stack([images[other] for other in labels])).tolist() if labels else []
        labeled.append(_Labeled(image, vector, labels, dict(zip(labels, found, strict=True))))
    size = gallery.engine.count(wanted.filter())
    frames = frames_of(gallery)
    bests = [_best_wrong(gallery, records, one, query_or_its_track(one.image, frames), wanted) for one in labeled]
    told = [best for best in bests if best is not None]
    if told:
        thresholds = thresholds_at(told, len(gallery), rate, 1.0, "marks")
    else:
        wrong = [[one.cosines[path] for path, same in one.labels.items() if not same] for one in labeled]
        wrong = [found for found in wrong if found]
        if not wrong:
            more = f". {not_read(unread)}" if unread else ""
            raise DataError(
                f"the pairs have no query with an image of somebody else that can be read; label some as 'no'{more}"
            )
        times = max(1.0, size / min(map(len, wrong)))
        thresholds = thresholds_at([max(found) for found in wrong], len(gallery), rate, times, "pairs")
    shares = [_share(labeled, thresholds, same) for same in (True, False)]
    return Calibrated(thresholds, shares[0], shares[1], size, len(labeled) - thresholds.queries, unread)


def _best_wrong(
    gallery: Gallery,
    records: Mapping[str, Record],
    one: _Labeled,
    is_query: Callable[[Record], bool],
    wanted: Wanted,
) -> float | None:
    """Return the cosine of a query's best wrong image in a gallery; None if the labels do not tell which that is."""
    same = {path for path, same in one.labels.items() if same}
    shown = [records[path] for path in same if path in records]
    tracks = {(record.camera, record.track) for record in shown if record.track}

    def left_out(record: Record) -> bool:
        return is_query(record) or record.key in same or (record.camera, record.track) in tracks

    (hits,) = gallery.search(one.vector[None], 1, wanted.filter(), [left_out])
    return hits[0].cosine if hits and one.labels.get(hits[0].path) is False else None


def _share(labeled: Sequence[_Labeled], thresholds: Thresholds, same: bool) -> tuple[int, int]:
    found = [one.cosines[path] for one in labeled for path, label in one.labels.items() if label is same]
    return len(found), sum(matches(cosine, thresholds.match) for cosine in found)


def _vectors(
    extractor: Extractor, paths: Sequence[str], way: str, unread: list[Unread]
) -> dict[str, tuple[Found, Vectors]]:
    """Return images with their vectors, by path; what cannot be read is added to `unread`."""
    found: list[Found] = []
    for path in paths:
        try:
            folder = find_images(Path(path))
        except DataError as error:
            unread.append(Unread(Path(path), path, str(error.args[0])))
            continue
        found += folder.images
        unread += folder.unread
    tell: Callable[..., tuple[int, float]] = modality_teller(way, Path())
    return {
        image.path: (image, vector)
        for batch in embedded(extractor, found, tell, unread)
        for image, vector in zip(batch.images, batch.vectors, strict=True)
    }
