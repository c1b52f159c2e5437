"""What a checkpoint says of the weights that are scored."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from vireid_plugins.engine.checkpoint import load_checkpoint
from vireid_plugins.engine.run_files import FINAL
from vireid_plugins.errors import DataError
from vireid_plugins.evaluation.provenance import ScoredWeights, name_weights
from vireid_plugins.io.regular import sha256_of
from vireid_plugins.io.strict_yaml import StrictYamlError, parse_yaml


def weights_of(file: Path, folder: Path) -> ScoredWeights:
    """Return the weights of a checkpoint for an `evaluation.json`.

    Args:
        file: the checkpoint; one that is missing or cannot be read leaves everything but its name unknown.
        folder: the output folder.
    """
    try:
        return described(load_checkpoint(file), file, folder)
    except (DataError, OSError):
        return ScoredWeights(_name(file, folder))


def described(checkpoint: Mapping[str, Any], file: Path, folder: Path) -> ScoredWeights:
    """Return what `weights_of` does, from the content of the checkpoint.

    Raises:
        OSError: the file cannot be read.
    """
    epoch = checkpoint.get("epoch")
    finished = epoch + 1 if isinstance(epoch, int) else None
    return ScoredWeights(_name(file, folder), sha256_of(file), finished, _seed(checkpoint))


def _name(file: Path, folder: Path) -> str:
    inside = file.parent.resolve() == folder.resolve()
    return file.name if inside else str(file)


def name_final_weights(folder: Path) -> None:
    """Enter the final checkpoint of a run in the evaluation of its last epoch, which was written before it."""
    weights = weights_of(folder / f"{FINAL}.pth", folder)
    for file in sorted(folder.glob("evaluation*.json")):
        name_weights(file, weights)


def _seed(checkpoint: Mapping[str, Any]) -> int | None:
    """Return the seed of the training that wrote a checkpoint, if its configuration says so."""
    try:
        value = parse_yaml(checkpoint["vireid"]["config"]).value["SEED"]
    except (KeyError, TypeError, StrictYamlError):
        return None
    return value if isinstance(value, int) and value >= 0 else None
