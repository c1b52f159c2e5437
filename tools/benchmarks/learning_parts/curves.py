"""What a training wrote on its way: losses, and how good its clusters were."""

import json
from pathlib import Path

from learning_parts.rows import SCORES

# Scalars of clusters, without the part of the images that they are of.
CLUSTERS = ("clusters", "noise", "purity", "ari")
Curves = dict[str, list[float]]


def curves(folder: Path) -> dict[str, dict[str, Curves]]:
    """Return the losses at the end of every epoch as they are logged, and the scores of its clusters.

    Args:
        folder: the folder of a finished run.

    Returns:
        by stage, "stage1" and so on for those before the last and "last" for the last: "losses" and "clusters",
        by name, the latter empty for a method that has none, and "scores", in percent, of the epochs that were scored.
    """
    stages = [*sorted(folder.glob("stage*")), folder]
    return {stage.name if stage != folder else "last": _of_stage(stage / "metrics.json") for stage in stages}


def _of_stage(file: Path) -> dict[str, Curves]:
    found: dict[str, Curves] = {"losses": {}, "clusters": {}, "scores": {}}
    for line in file.read_text(encoding="utf-8").splitlines():
        for name, value in json.loads(line).items():
            kind, last = _kind(name), name.split("/")[-1]
            if kind:
                found[kind].setdefault(last, []).append(float(f"{value:.4g}"))
    return found


def _kind(name: str) -> str:
    if name.startswith("loss_"):
        return "losses"
    if name.split("_")[0] in CLUSTERS:
        return "clusters"
    return "scores" if name.split("/")[-1] in SCORES else ""
