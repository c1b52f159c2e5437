"""A checkpoint without its training state: the weights that are used, and the provenance with the configuration."""

import os
from pathlib import Path
from typing import Any, NamedTuple

import torch

from vireid_plugins.engine.checkpoint import load_checkpoint
from vireid_plugins.errors import DataError
from vireid_plugins.io.files import write_atomic

# What is kept besides the weights: provenance, and when in the run they were saved.
KEPT = ("vireid", "epoch", "metric")


class Reduced(NamedTuple):
    """A file that was written.

    Attributes:
        averaged: whether its weights are the averaged ones.
        before: bytes of the checkpoint.
        after: bytes of the file.
    """

    averaged: bool
    before: int
    after: int


def write_weights(source: Path, target: Path) -> Reduced:
    """Write the weights of a checkpoint, averaged where it has such, as `MODEL.WEIGHTS` would take them.

    Args:
        source: the checkpoint.
        target: the new file. Every command takes it as the checkpoint, but no run can be resumed from it.

    Raises:
        ConfigError: the file cannot be written.
        DataError: the checkpoint cannot be read, or the target exists.
    """
    checkpoint = load_checkpoint(source)
    if os.path.lexists(target):
        raise DataError(f"'{target}' exists and would be overwritten; choose another file")
    averaged = "average" in checkpoint
    weights = checkpoint["average"]["model"] if averaged else checkpoint["model"]
    # A slice would be saved with all it was cut from.
    content: dict[str, Any] = {"model": {name: tensor.clone() for name, tensor in weights.items()}}
    content |= {name: checkpoint[name] for name in KEPT if name in checkpoint}
    with write_atomic(target) as stream:
        torch.save(content, stream)
    return Reduced(averaged, source.stat().st_size, target.stat().st_size)
