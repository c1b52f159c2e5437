"""The plan of an evaluation: everything but the features, made once per test set and used throughout a run."""

import itertools
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from fastreid.config import CfgNode

from vireid_plugins.data.datasets import CrossModalityDataset, build_dataset
from vireid_plugins.errors import ConfigError, DataError, require_name
from vireid_plugins.evaluation.drop_rules import DropRule, drop_rules, no_match
from vireid_plugins.evaluation.feature_table import ImagesByModality
from vireid_plugins.evaluation.open_set import enrolled_images
from vireid_plugins.evaluation.postprocess import PostProcessing
from vireid_plugins.evaluation.protocols import Protocol, protocols_of
from vireid_plugins.evaluation.trials import draw_trials, sides
from vireid_plugins.evaluation.types import Ints, Labels


class TrialPositions(NamedTuple):
    """Indices (Q,) and (G,) of a trial's queries and gallery among the images of their modality."""

    query: Ints
    gallery: Ints


class EvaluationPlan:
    """Images, protocols and trials of one test set. Trials are drawn when they are first asked for, and kept.

    Args:
        dataset: the test set.
        protocols: the protocols to score it under.

    Attributes:
        images: the test images by modality.
        rules: drop rules, by protocol name.

    Raises:
        ConfigError: the data set lacks a drop rule that a protocol asks for.
        DataError: lists are missing or malformed, or images that they promise are missing.
    """

    def __init__(self, dataset: CrossModalityDataset, protocols: Sequence[Protocol]) -> None:
        self.dataset, self.protocols = dataset, list(protocols)
        dataset.require_complete()
        self.images = ImagesByModality(dataset)
        self.rules = {protocol.name: _rule(dataset, protocol) for protocol in protocols}
        self._trials: dict[str, list[TrialPositions]] = {}

    def trials(self, protocol: Protocol) -> list[TrialPositions]:
        """Return every trial of one of the protocols.

        Raises:
            ConfigError: the data set lacks the gallery or the draws that the protocol asks for.
            DataError: draws are missing or do not fit the images on disk; or no query of an open set is unknown.
        """
        if protocol.name not in self._trials:
            drawn = draw_trials(self.dataset, protocol)
            # One side is the same list in every trial.
            found = {id(paths): self._found(paths) for paths in itertools.chain.from_iterable(drawn)}
            trials = [TrialPositions(*(found[id(paths)] for paths in trial)) for trial in drawn]
            self._trials[protocol.name] = self._enrolled(protocol, trials) if protocol.enrollments else trials
        return self._trials[protocol.name]

    def _found(self, paths: Sequence[str]) -> Ints:
        """Return the positions of images among those of their modality."""
        return np.array([*map(self.images.position.__getitem__, paths)], np.int64)

    def draw(self) -> "EvaluationPlan":
        """Draw the trials of all protocols now, so that errors come before a training; return the plan.

        Raises:
            DataError: no query of a trial has a match; see also `trials`.
        """
        for protocol in self.protocols:
            for trial in self.trials(protocol):
                self._require_match(protocol, trial)
        return self

    def used(self) -> frozenset[str]:
        """Return the paths, relative to the data set's folder, of the images that a trial of any protocol uses.

        Raises:
            DataError: see `trials`.
        """
        found: set[str] = set()
        for protocol in self.protocols:
            for modality, of_trials in zip(sides(protocol), zip(*self.trials(protocol), strict=True), strict=True):
                paths = self.images.paths[modality]
                found.update(paths[position] for position in np.unique(np.concatenate(of_trials)).tolist())
        return frozenset(found)

    def _enrolled(self, protocol: Protocol, trials: list[TrialPositions]) -> list[TrialPositions]:
        """Return the trials of an open set: draw d keeps the enrolled identities in the gallery of trial d modulo T."""
        labels = self.images.labels
        # Of the whole test set, so that all its protocols enroll the same people.
        identities = [identity for of in labels.values() for identity in of.ids.tolist()]
        query_side, gallery_side = sides(protocol)
        found = []
        for draw in range(protocol.enrollments):
            query, gallery = trials[draw % len(trials)]
            ids = labels[query_side].ids[query], labels[gallery_side].ids[gallery]
            try:
                stay = enrolled_images(identities, *ids, draw)
            except DataError as error:
                raise DataError(f"{protocol.name} on '{self.dataset.folder}': {error}") from None
            found.append(TrialPositions(query, gallery[stay]))
        return found

    def _require_match(self, protocol: Protocol, trial: TrialPositions) -> None:
        query, gallery = (
            self.images.labels_at(side, positions) for side, positions in zip(sides(protocol), trial, strict=True)
        )
        rule = self.rules[protocol.name]
        for row in range(len(query.ids)):
            same = np.flatnonzero(gallery.ids == query.ids[row])
            one, others = (Labels(of.ids[at], of.cams[at]) for of, at in ((query, [row]), (gallery, same)))
            # Nearly always the first query has one.
            if len(same) and not rule.hides(one, others).all():
                return
        raise DataError(f"{protocol.name} on '{self.dataset.folder}': {no_match(query, gallery, rule, protocol.drop)}")


def require_test_sets(cfg: CfgNode) -> tuple[str, ...]:
    """Return `DATASETS.TESTS`, of which a run that learns without labels may have none.

    Raises:
        ConfigError: it is empty.
    """
    if not cfg.DATASETS.TESTS:
        raise ConfigError(
            "DATASETS.TESTS: is empty, so there is nothing to score or to draw; name a set with labels, such as "
            "OwnFolder: vireid evaluate RUN --on OwnFolder, or DATASETS.TESTS \"['OwnFolder']\" behind any command"
        )
    return tuple(cfg.DATASETS.TESTS)


def plan_test(cfg: CfgNode, name: str) -> EvaluationPlan:
    """Return the plan of one of `DATASETS.TESTS` under the protocols in `TEST.PROTOCOLS` that score it.

    Raises:
        ConfigError: no protocol scores the data set, or affinity inference has no numbers for one; see also
            `EvaluationPlan`.
        DataError: its files are missing or malformed.
    """
    dataset: Any = build_dataset(cfg, name)
    plan = EvaluationPlan(dataset, protocols_of(name, cfg.TEST.PROTOCOLS))
    postprocessing = PostProcessing.from_config(cfg)
    for protocol in plan.protocols:
        # Before anything is trained or extracted.
        postprocessing.at(protocol.name)
    return plan


def _rule(dataset: CrossModalityDataset, protocol: Protocol) -> DropRule:
    rules = drop_rules(dataset.unseen)
    require_name(f"{protocol.name}: drop", protocol.drop, rules)
    return rules[protocol.drop]
