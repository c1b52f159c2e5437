"""The tables of learning with labels and from clusters, by number of training people."""

from collections.abc import Iterator, Sequence
from statistics import mean
from typing import Any

from tabulate import tabulate

from learning_parts.starts import LABELS, STARTS
from learning_parts.tables import by_variant, cell, difference, left_out
from learning_parts.trees import TREES
from learning_parts.variants import Variant

Rows = Sequence[dict[str, Any]]
# Scores of clusters, the factor to what is shown, and the images they are of: of one modality, or of both with
# associated clusters as one.
STAGES = ("stage1", "last")
_APART = ("visible", "infrared")
_ALL = (*_APART, "across")
CLUSTERS = {"clusters": (1, _APART), "noise": (100, _APART), "purity": (100, _ALL), "ari": (100, _ALL)}


def label_table(rows: Rows) -> str:
    """Return the scores, one row per number of training people and way to learn.

    Sentences below list the seeds, of three, that are not finished.
    """
    body, missing = [], []
    for people, name in _trees():
        of_variant = by_variant(rows, LABELS, name)
        for variant, found in _found(rows, name):
            scores = [cell([row[score] for row in found]) for score in ("Rank-1", "mAP")]
            against = "" if variant.against == variant.name else difference(found, of_variant[variant.against])
            first = [row["curves"]["stage1"]["scores"]["mAP"][-1] for row in found if "stage1" in row["curves"]]
            seconds = f"{mean(row['cpu_seconds'] for row in found):.0f}" if found else ""
            body.append([people, variant.name, *scores, against, cell(first), len(found) or "", seconds])
        missing.append(f"{people} people: {left_out(rows, LABELS, name)}")
    headers = ["people", "learning", "Rank-1", "mAP", "mAP against supervised", "mAP after stage 1", "runs", "CPU s"]
    printed = tabulate(body, headers, tablefmt="github", disable_numparse=True)
    return f"{printed}\n\n{' '.join(missing)}"


def cluster_table(rows: Rows) -> str:
    """Return how good the clusters of the last epoch were, one row per number of training people and method."""
    body = []
    for people, name in _trees():
        for variant, found in _found(rows, name):
            ends = [row["curves"]["last"]["clusters"] for row in found]
            if not any(ends):
                continue
            cells = [
                cell([factor * end[f"{score}_{part}"][-1] for end in ends])
                for score, (factor, parts) in CLUSTERS.items()
                for part in parts
            ]
            body.append([people, variant.name, *cells, len(found)])
    names = [f"{score} {part}" for score, (_, parts) in CLUSTERS.items() for part in parts]
    return tabulate(body, ["people", "learning", *names, "runs"], tablefmt="github", disable_numparse=True)


def epoch_table(rows: Rows, score: str = "ari") -> str:
    """Return a score of clusters, in percent, at the beginning of every epoch of both stages.

    The first is that of the weights that a run starts from.
    """
    body, epochs = [], 0
    for people, name in _trees():
        for variant, found in _found(rows, name):
            clustered = [row["curves"] for row in found if "stage1" in row["curves"]]
            for part in _ALL if clustered else ():
                stages = [[one[stage]["clusters"].get(f"{score}_{part}", []) for one in clustered] for stage in STAGES]
                # There is no association in the first stage.
                epochs = max(epochs, len(stages[1][0]))
                cells = [
                    text
                    for stage in stages
                    for text in ([cell([100 * v for v in at]) for at in zip(*stage, strict=True)] or [""] * epochs)
                ]
                body.append([people, variant.name, part, *cells, len(clustered)])
    headers = [f"stage {stage}, {epoch}" for stage in (1, 2) for epoch in range(1, epochs + 1)]
    return tabulate(body, ["people", "learning", "images", *headers, "runs"], tablefmt="github", disable_numparse=True)


def _trees() -> list[tuple[int, str]]:
    """Return the number of training people and the name of each tree, the fewest first."""
    return sorted(
        (tree.people or tree.size.train + tree.size.val, name) for name, tree in TREES.items() if LABELS in tree.epochs
    )


def _found(rows: Rows, tree: str) -> Iterator[tuple[Variant, list[dict[str, Any]]]]:
    of_variant = by_variant(rows, LABELS, tree)
    return ((variant, of_variant[variant.name]) for variant in STARTS[LABELS].variants)
