"""The table of what affinity inference gains on the features of the same run."""

from collections.abc import Sequence
from statistics import stdev
from typing import Any

from tabulate import tabulate

from learning_parts.rows import SCORES
from learning_parts.starts import STARTS
from learning_parts.tables import by_variant, cell
from learning_parts.trees import TREES


def affinity_table(rows: Sequence[dict[str, Any]], start: str = "ImageNet", tree: str = "SYSUMM01") -> str:
    """Return one row per variant that was scored with it: the scores without, and the gain, paired by seed.

    A gain that is not larger than its standard deviation is marked as noise, and that of one seed as such.
    """
    body = []
    for name, found in by_variant(rows, start, tree).items():
        scored = [row for row in found if row.get("affinity")]
        if scored:
            without = [cell([row[score] for row in scored]) for score in SCORES]
            gains = [_gain([row["affinity"][score] - row[score] for row in scored]) for score in SCORES]
            body.append([name, *without, *gains, len(scored)])
    headers = ["variant", *(f"{score} without" for score in SCORES), *(f"gain in {score}" for score in SCORES), "runs"]
    printed = tabulate(body, headers, tablefmt="github", disable_numparse=True)
    return f"{printed}\n\n{STARTS[start].about}; {TREES[tree].protocol}."


def _gain(gains: Sequence[float]) -> str:
    """Return the mean and the standard deviation of paired differences."""
    mean = sum(gains) / len(gains)
    if len(gains) < 2:
        return f"{mean:+.1f} (one seed)"
    return f"{mean:+.1f} ± {stdev(gains):.1f}" + (" (noise)" if abs(mean) <= stdev(gains) else "")
