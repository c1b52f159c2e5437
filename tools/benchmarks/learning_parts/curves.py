"""What a training wrote on its way: losses, and how good its clusters were."""

import json
from pathlib import Path

# Scalars of clusters, without the part of the images that they are of.
CLUSTERS = ("clusters", "noise", "purity", "ari")
Curves = dict[str, list[float]]


def curves(folder: Path) -> dict[str, dict[str, Curves]]:
    """Return the means of the losses every `SOLVER.METRICS_PERIOD` steps, and the scores of clusters of every epoch.

    Args:
        folder: the folder of a finished run.

    Returns:
        by stage, "stage1" and so on for those before the last and "last" for the last: "losses", by name, and
        "clusters", by name, empty for a method that has none.
    """
    stages = [*sorted(folder.glob("stage*")), folder]
    return {stage.name if stage != folder else "last": _of_stage(stage / "metrics.json") for stage in stages}


def _of_stage(file: Path) -> dict[str, Curves]:
    losses: Curves = {}
    clusters: Curves = {}
    for line in file.read_text(encoding="utf-8").splitlines():
        for name, value in json.loads(line).items():
            kept = losses if name.startswith("loss_") else clusters if name.split("_")[0] in CLUSTERS else None
            if kept is not None:
                kept.setdefault(name, []).append(float(f"{value:.4g}"))
    return {"losses": losses, "clusters": clusters}
