"""The table of how losses went."""

from collections.abc import Sequence
from statistics import mean
from typing import Any

from tabulate import tabulate

from learning_parts.tables import by_variant


def curve_table(rows: Sequence[dict[str, Any]], start: str = "ImageNet", tree: str = "SYSUMM01") -> str:
    """Return one row per loss of the variants whose runs have curves: means over runs at the end of every epoch."""
    body = []
    for name, found in by_variant(rows, start, tree).items():
        curves = [losses for row in found if (losses := row.get("curves", {}).get("last", {}).get("losses"))]
        for loss in curves[0] if curves else ():
            values = [mean(at) for at in zip(*(curve[loss] for curve in curves), strict=True)]
            body.append([name, loss.removeprefix("loss_"), *(f"{value:.3g}" for value in values)])
    epochs = max((len(line) for line in body), default=2) - 2
    headers = ["variant", "loss", *(f"epoch {number}" for number in range(1, epochs + 1))]
    return tabulate(body, headers, tablefmt="github", disable_numparse=True)
