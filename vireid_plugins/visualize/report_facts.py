"""The head of a report: what was scored, and where it comes from."""

from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from fastreid.config import CfgNode

from vireid_plugins.engine.checkpoint import load_checkpoint
from vireid_plugins.engine.runs import run_folder, run_title
from vireid_plugins.engine.scored_weights import described
from vireid_plugins.engine.train import checkpoint_of
from vireid_plugins.io.json_file import read_json
from vireid_plugins.visualize.retrieve import Extraction

UNKNOWN = "unknown"


def facts(cfg: CfgNode, test: Extraction) -> list[list[str]]:
    """Return rows of a name and a value: run, weights, epoch, seed, data, date, and the commit where it is known.

    Args:
        cfg: configuration of the trained model.
        test: features of its test set.

    Raises:
        ConfigError: there is no checkpoint.
        DataError: the checkpoint cannot be read.
    """
    file, folder = checkpoint_of(cfg), run_folder(cfg)
    checkpoint = load_checkpoint(file)
    weights = described(checkpoint, file, folder)
    images, width = test.features.shape
    rows = [
        ["run", run_title(cfg)],
        ["weights", f"{folder.name}/{file.name}"],
        ["SHA-256 of the weights", str(weights.sha256)],
        ["epoch", _known(weights.epoch)],
        ["seed", _known(weights.seed)],
        ["best chosen on", _known(checkpoint.get("vireid", {}).get("chosen_on"))],
        ["data", f"{test.dataset.title}, {images:,} test images, {width:,}-dimensional features"],
        ["date of this page", datetime.now(timezone.utc).strftime("%Y-%m-%d %H:%M UTC")],
    ]
    commit = _scored(folder, weights.sha256).get("commit")
    return [*rows, ["commit of the scores", str(commit)]] if commit else rows


def _known(value: object) -> str:
    return UNKNOWN if value is None else str(value)


def _scored(folder: Path, digest: str | None) -> dict[str, Any]:
    """Return what `evaluation.json` says about its scores, if they are of the weights with this digest."""
    try:
        report = read_json(folder / "evaluation.json")
    except (OSError, ValueError):
        return {}
    source = report.get("provenance") if isinstance(report, dict) else None
    return source if isinstance(source, dict) and source.get("sha256") == digest else {}
