"""Check what was read from a checkpoint before any of it is used: the right keys may hold anything."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

from vireid_plugins.errors import DataError
from vireid_plugins.io.weight_file import state_dict_of

# Types of the provenance that is read; the rest is only compared.
FACTS: dict[str, type] = {"splits": Mapping, "config": str, "plugins": list}
# More identities than any data set has.
MANY = 10_000_000


class BrokenCheckpointError(DataError):
    """A checkpoint's contents are damaged; a run may be resumed from an earlier one."""


def checked(file: Path, checkpoint: dict[str, Any]) -> dict[str, Any]:
    """Return the content of a checkpoint with tensors as weights, also in `average`.

    Args:
        file: the checkpoint, for messages.
        checkpoint: its content.

    Raises:
        BrokenCheckpointError: an entry is missing or is not what its name says.
    """
    if "model" not in checkpoint:
        raise BrokenCheckpointError(
            f"checkpoint '{file}' has no entry 'model'; it was not written by this trainer or fast-reid"
        )
    given: dict[str, Any] = {"model": _weights(file, checkpoint["model"], "'model'")}
    if checkpoint.get("average", ...) is None:
        checkpoint = {key: value for key, value in checkpoint.items() if key != "average"}
    if "average" in checkpoint:
        average = _mapping(file, checkpoint["average"], "average")
        _require(file, _is_count(average.get("steps")), "'average' has no number of steps")
        given["average"] = {**average, "model": _weights(file, average.get("model"), "'model' in 'average'")}
    facts = _mapping(file, checkpoint.get("vireid", {}), "vireid")
    for name, kind in FACTS.items():
        right = name not in facts or isinstance(facts[name], kind)
        _require(file, right, f"'{name}' in 'vireid' is {facts.get(name)!r:.60}")
    for name, split in facts.get("splits", {}).items():
        _require(file, isinstance(name, str) and _is_count(split), f"'splits' in 'vireid' has {name!r}: {split!r:.60}")
    return {**checkpoint, **given}


def classes_of(file: Path, checkpoint: Mapping[str, Any], default: int) -> int:
    """Return the number of identities that a checkpoint was trained on, by default `default`.

    Raises:
        BrokenCheckpointError: it cannot be that of the weights; a network of that size would be built.
    """
    facts = checkpoint.get("vireid", {})
    if "num_classes" not in facts:
        return default
    found = facts["num_classes"]
    most = max((len(value) for value in checkpoint["model"].values() if value.ndim), default=0) or MANY
    _require(
        file,
        _is_count(found) and found <= most,
        f"'num_classes' in 'vireid' is {found!r:.60}, and no weight has more than {most} rows",
    )
    return int(found)


def require_position(file: Path, checkpoint: Mapping[str, Any]) -> None:
    """Raise a `BrokenCheckpointError` unless a checkpoint says where in its run it was saved."""
    epoch = checkpoint.get("epoch")
    _require(file, _is_count(epoch, -1), f"'epoch' is {epoch!r:.60}, not a number of an epoch")
    for name, least in (("iteration", 0), ("iters_per_epoch", 1)):
        right = name not in checkpoint or _is_count(checkpoint[name], least)
        _require(file, right, f"'{name}' is {checkpoint.get(name)!r:.60}, not a number of steps")
    if "iteration" in checkpoint and "iters_per_epoch" in checkpoint:
        iteration, steps = checkpoint["iteration"], checkpoint["iters_per_epoch"]
        right = iteration // steps == checkpoint["epoch"] + 1
        _require(file, right, f"'iteration' {iteration} of {steps} steps per epoch is not after epoch {epoch}")


def _weights(file: Path, weights: object, entry: str) -> dict[str, Tensor]:
    try:
        return state_dict_of(weights, f"checkpoint '{file}': {entry}")
    except DataError as error:
        raise BrokenCheckpointError(str(error)) from None


def _mapping(file: Path, value: object, entry: str) -> Mapping[str, Any]:
    _require(file, isinstance(value, Mapping), f"'{entry}' is {type(value).__name__}, not a dict")
    assert isinstance(value, Mapping)
    return value


def _is_count(value: object, least: int = 0) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= least


def _require(file: Path, right: bool, wrong: str) -> None:
    if not right:
        raise BrokenCheckpointError(
            f"checkpoint '{file}': {wrong}; it is damaged or was written by another program: use another checkpoint"
        )
