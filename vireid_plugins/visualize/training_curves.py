"""Losses, learning rate and scores of a run, from the `metrics.json` written by fast-reid."""

import re
import sys
from pathlib import Path
from typing import Any, TypeGuard

from vireid_plugins.config.renamed import LOGGED
from vireid_plugins.data.datasets.base import MODALITIES
from vireid_plugins.errors import DataError
from vireid_plugins.io.json_file import parse_json, read_json
from vireid_plugins.io.regular import read_bytes
from vireid_plugins.visualize.panels import below, columns_in, panels_in, settle, wrapped
from vireid_plugins.visualize.style import DEFAULT, LINES, SERIES, Style

Curves = dict[str, list[tuple[float, float]]]


def read_metrics(file: Path) -> Curves:
    """Return every scalar of a run, by its current name, as pairs (iteration, value).

    An incomplete line, such as the last one of a killed run, is skipped.

    Raises:
        DataError: the file is missing or contains no metrics.
    """
    try:
        lines = read_bytes(file).decode(errors="replace").splitlines()
    except OSError as error:
        raise DataError(
            f"'{file}' cannot be read ({error.strerror}); training writes it to the run's OUTPUT_DIR"
        ) from None
    curves: Curves = {}
    for line in lines:
        try:
            row = parse_json(line)
        except ValueError:
            continue
        step = row.pop("iteration", None) if isinstance(row, dict) else None
        if not _is_number(step):
            continue
        for name, value in row.items():
            if _is_number(value):
                curves.setdefault(LOGGED.get(name, name), []).append((step, float(value)))
    if not curves:
        raise DataError(f"'{file}' contains no metrics yet; they are written every 200 iterations and after each epoch")
    return curves


def _is_number(value: object) -> TypeGuard[float]:
    """Return whether a value of JSON can be drawn: not NaN, which Python writes although it is no JSON, and no bool."""
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < sys.float_info.max


def read_run(folder: Path) -> Curves:
    """Return the scalars of a run, including the scores of the last evaluation, which fast-reid does not write.

    Scores are called `PROTOCOL/SCORE`. Runs of earlier releases have those of the first protocol alone, without its
    name, which they get here.

    Args:
        folder: the output folder.

    Raises:
        DataError: there are no metrics, or the scores cannot be read.
    """
    curves = read_metrics(folder / "metrics.json")
    report = folder / "evaluation.json"
    if report.is_file():
        last = max(step for points in curves.values() for step, _ in points)
        try:
            results = [(str(one["protocol"]), dict(one["mean"])) for one in read_json(report)["results"]]
            first = results[0][0]
        except (OSError, ValueError, KeyError, IndexError, TypeError):
            raise DataError(f"'{report}' has no scores; write it again: vireid train --eval-only") from None
        for name in [name for name in curves if re.fullmatch(SCORES, name)]:
            curves.setdefault(f"{first}/{name}", [])[:0] = curves.pop(name)
        for protocol, scores in results:
            for score, value in scores.items():
                name = f"{protocol}/{score}"
                if not _is_number(value):
                    continue
                # In the order of the protocols, and not of the alphabet.
                points = curves[name] = curves.pop(name, [])
                if not points or abs(points[-1][1] - value) > 1e-3:
                    points.append((last, value))
    return curves


# Names of scores as earlier releases wrote them.
SCORES = r"Rank-\d+|mAP|mINP"
PANELS = {
    "losses": r".*loss.*",
    "learning rate": r"lr",
    "rank-1, percent": r"(.+/)?Rank-1",
    "mAP, percent": r"(.+/)?mAP",
    "mINP, percent": r"(.+/)?mINP",
    "TPIR@FPIR=1%, percent": r"(.+/)?TPIR@FPIR=1%",
    "TPIR@FPIR=10%, percent": r"(.+/)?TPIR@FPIR=10%",
    "clusters": r"clusters_.*",
    "noise, share": r"noise_.*",
    "purity of clusters": r"purity_.*",
    "NMI of clusters": r"nmi_.*",
    "ARI of clusters": r"ari_.*",
    "seconds per step": r"time|data_time",
}

# Panels whose curves are named by what was clustered.
OF_CLUSTERS = tuple(title for title in PANELS if re.search("clusters|noise", title))


def panels(curves: Curves) -> list[dict[str, Any]]:
    """Group the curves into losses, learning rate, scores and seconds per step; returns JSON values.

    A panel of one score names its curves by their protocols. `look` is the number of a curve's color and line: a
    modality has one look in all panels, and so has a protocol.
    """
    groups: list[dict[str, Any]] = []
    for title, names in PANELS.items():
        found = [(name, points) for name, points in curves.items() if re.fullmatch(names, name)]
        members = [{"name": _short(name, title), "points": points} for name, points in found]
        if members:
            groups.append({"name": title, "curves": members})
    for kind in {_kind(group["name"]): None for group in groups}:
        drawn = [member for group in groups if _kind(group["name"]) == kind for member in group["curves"]]
        words = dict.fromkeys(_told(member["name"]) for member in drawn)
        modalities = list(MODALITIES.values())
        looks = list(dict.fromkeys([*modalities, *words]) if words.keys() & set(modalities) else words)
        for member in drawn:
            member["look"] = looks.index(_told(member["name"]))
    return groups


def _kind(title: str) -> str:
    """Return what a panel has in common with others whose curves are of the same things."""
    return "clusters" if title in OF_CLUSTERS else "percent" if "percent" in title else title


def _told(name: str) -> str:
    """Return how a curve is called in the legend."""
    return name.removeprefix("loss_")


def _short(name: str, title: str) -> str:
    """Return what tells the curve of a panel from the others."""
    if "percent" in title:
        return name.rpartition("/")[0] or name
    return name.partition("_")[2] if title in OF_CLUSTERS else name


def draw_training(curves: Curves, title: str = "", style: Style = DEFAULT) -> Any:
    """Return a matplotlib figure of the curves, one panel per group of `panels`.

    Args:
        curves: the curves.
        title: above all panels.
        style: the look.
    """
    shown = panels(curves)
    with style.applied():
        figure, grid = panels_in(style, len(shown), 0.8)
        columns = columns_in(style, len(shown))
        for axes, panel in zip(grid, shown, strict=True):
            for member in panel["curves"]:
                steps, values = zip(*member["points"], strict=True)
                axes.plot(
                    steps,
                    values,
                    label=_told(member["name"]),
                    marker="." if len(steps) < 30 else None,
                    color=SERIES[member["look"] % len(SERIES)],
                    linestyle=LINES[member["look"] % len(LINES)],
                )
            axes.set_title(panel["name"])
            axes.set_xlabel("iteration")
            axes.xaxis.get_major_locator().set_params(integer=True)
            axes.margins(y=0.12)
            if len(panel["curves"]) > 1:
                below(axes, 72 * figure.get_figwidth() / columns, style)
        figure.suptitle(wrapped(title, 72 * figure.get_figwidth(), style))
        settle(figure)
    return figure
