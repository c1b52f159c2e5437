"""The queries of a trial: how each of them ranks the gallery, and which of them to show."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from fastreid.config import CfgNode

from vireid_plugins.errors import ConfigError
from vireid_plugins.evaluation.distances import cross_distances
from vireid_plugins.evaluation.protocols import Protocol
from vireid_plugins.evaluation.rank_positions import Selection, count_positions
from vireid_plugins.evaluation.trials import sides
from vireid_plugins.evaluation.types import Floats, Ints, Labels
from vireid_plugins.visualize.rank_lists import RankList
from vireid_plugins.visualize.retrieve import Extraction, extract


@dataclass(frozen=True)
class RankedTrial:
    """Trial 0 of a protocol. Shapes: `Q` queries, `G` gallery images.

    Attributes:
        found: features of the test set.
        protocol: the protocol.
        query_paths: Q paths relative to the data set's folder.
        gallery_paths: G paths.
        query: labels of the queries.
        gallery: labels of the gallery images.
        distance: (Q, G) under `found.metric`.
        hidden: (Q, G) true where the protocol excludes an image.
        first: (Q,) rank position of the first match as the protocol counts, from 0; -1 for a query without a match.
        precision: (Q,) average precision, 0..1.
    """

    found: Extraction
    protocol: Protocol
    query_paths: list[str]
    gallery_paths: list[str]
    query: Labels
    gallery: Labels
    distance: Floats
    hidden: npt.NDArray[np.bool_]
    first: Ints
    precision: npt.NDArray[np.float64]

    @property
    def matched(self) -> Ints:
        """The queries that have a match, in their order."""
        rows: Ints = np.flatnonzero(self.first >= 0)
        return rows

    @property
    def nearest(self) -> Ints:
        """(Q,) the gallery image at rank position 1, of those that are not excluded; -1 if all are."""
        shown = np.where(self.hidden, np.inf, self.distance)
        return np.where(self.hidden.all(1), -1, shown.argmin(1))

    def list_of(self, row: int, top: int) -> RankList:
        """Return the rank list of a query.

        Images that the protocol hides from it stay in the list where they would rank, and are marked.
        """
        folder, cosine = self.found.dataset.folder, self.found.metric == "cosine"
        order = np.argsort(self.distance[row], kind="stable")[:top]
        same = self.gallery.ids[order] == self.query.ids[row]
        return RankList(
            folder / self.query_paths[row],
            [folder / self.gallery_paths[g] for g in order],
            [bool(one) for one in same],
            [bool(one) for one in self.hidden[row, order]],
            # From 0 on for the cosine, as it is read.
            [float(one) + cosine for one in self.distance[row, order]],
            int(self.first[row]) + 1,
            float(self.precision[row]),
        )


def rank_trial(found: Extraction, protocol: Protocol) -> RankedTrial:
    """Rank the gallery of trial 0 for each of its queries.

    Args:
        found: features of the test set.
        protocol: of its plan, whose gallery and drop rule are used.
    """
    images, rule = found.images, found.plan.rules[protocol.name]
    rows, columns = found.plan.trials(protocol)[0]
    query, gallery = sides(protocol)
    found.table.require(protocol, query, [rows])
    found.table.require(protocol, gallery, [columns])
    labels = images.labels_at(query, rows), images.labels_at(gallery, columns)
    cosine = found.metric == "cosine"
    left, right = found.table.of(query, cosine)[rows], found.table.of(gallery, cosine)[columns]
    distance = np.asarray(cross_distances(left, right, found.metric))
    every = (np.arange(len(rows)), np.arange(len(columns)))
    positions = count_positions(distance, [Selection(*every, *labels, rule, distinct=protocol.cmc == "distinct_id")])[0]
    return RankedTrial(
        found,
        protocol,
        [images.paths[query][row] for row in rows],
        [images.paths[gallery][column] for column in columns],
        *labels,
        distance,
        np.asarray(rule.hides(*labels)),
        positions.first,
        positions.precision,
    )


def choose(trial: RankedTrial, count: int, seed: int | None = None, wanted: Sequence[str] = ()) -> list[int]:
    """Return rows of queries that have a match; the same ones for every model.

    Args:
        trial: the ranked trial.
        count: how many, if none are named.
        seed: draws them at random; None: spread evenly over the queries.
        wanted: names them: paths of images, or numbers of identities, of which the first query is taken.

    Raises:
        ConfigError: a name is of no query with a match.
    """
    if wanted:
        return [_named(trial, word) for word in wanted]
    rows = trial.matched
    count = min(count, len(rows))
    if seed is None:
        return [int(row) for row in rows[np.linspace(0, len(rows) - 1, count).astype(int)]]
    return sorted(int(row) for row in np.random.default_rng(seed).permutation(rows)[:count])


def _named(trial: RankedTrial, word: str) -> int:
    """Return the row of a query given by its path, from the data set's folder on or longer, or by its identity."""
    text = word.replace("\\", "/")
    for row in trial.matched:
        if f"/{text}".endswith(f"/{trial.query_paths[row]}") or word == str(trial.query.ids[row]):
            return int(row)
    identities = sorted({int(one) for one in trial.query.ids[trial.matched]})
    some = ", ".join(map(str, identities[:8])) + (", ..." if len(identities) > 8 else "")
    example = f"; a path is like {trial.query_paths[trial.matched[0]]}" if len(trial.matched) else ""
    raise ConfigError(
        f"--query: '{word}' is no query with a match under {trial.protocol.name}; identities: {some}{example}"
    )


def nearest(found: Extraction, protocol: Protocol, queries: int = 8, top: int = 10) -> list[RankList]:
    """Return the rank lists of queries in trial 0, see `choose`.

    Args:
        found: features of the test set.
        protocol: see `rank_trial`.
        queries: how many lists.
        top: length of a list.
    """
    trial = rank_trial(found, protocol)
    return [trial.list_of(row, top) for row in choose(trial, queries)]


def rank_lists_of(cfg: CfgNode, queries: int = 8) -> list[RankList]:
    """Return rank lists of the configuration's model under its first protocol."""
    found = extract(cfg)
    return nearest(found, found.plan.protocols[0], queries)
