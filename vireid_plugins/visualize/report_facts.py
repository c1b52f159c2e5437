"""The head of a report: what was scored, and where it comes from."""

from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import yaml
from fastreid.config import CfgNode

from vireid_plugins.engine.checkpoint import load_checkpoint
from vireid_plugins.engine.runs import run_folder, run_title
from vireid_plugins.engine.train import checkpoint_of
from vireid_plugins.io.json_file import read_json
from vireid_plugins.io.regular import sha256_of
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
    file = checkpoint_of(cfg)
    checkpoint = load_checkpoint(file)
    digest = sha256_of(file)
    source = checkpoint.get("vireid", {})
    epoch = checkpoint.get("epoch")
    images, width = test.features.shape
    folder = run_folder(cfg)
    rows = [
        ["run", run_title(cfg)],
        ["weights", f"{folder.name}/{file.name}"],
        ["SHA-256 of the weights", digest],
        ["epoch", str(epoch + 1) if isinstance(epoch, int) else UNKNOWN],
        ["seed", _seed(source)],
        ["best chosen on", str(source.get("chosen_on", UNKNOWN))],
        ["data", f"{test.dataset.title}, {images:,} test images, {width:,}-dimensional features"],
        ["date of this page", datetime.now(timezone.utc).strftime("%Y-%m-%d %H:%M UTC")],
    ]
    commit = _scored(folder, digest).get("commit")
    return [*rows, ["commit of the scores", str(commit)]] if commit else rows


def _seed(source: dict[str, Any]) -> str:
    """Return the seed in the configuration that a checkpoint holds."""
    try:
        kept = yaml.safe_load(source["config"])
        return str(int(kept["SEED"]))
    except (KeyError, TypeError, ValueError, yaml.YAMLError):
        return UNKNOWN


def _scored(folder: Path, digest: str) -> dict[str, Any]:
    """Return what `evaluation.json` says about its scores, if they are of the weights with this digest."""
    try:
        report = read_json(folder / "evaluation.json")
    except (OSError, ValueError):
        return {}
    source = report.get("provenance") if isinstance(report, dict) else None
    return source if isinstance(source, dict) and source.get("sha256") == digest else {}
