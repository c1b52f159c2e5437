"""Load weight files without executing code from them."""

import inspect
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from vireid_plugins.errors import DataError

# Where fast-reid, torch's examples and AGW's code put the state dict.
CONTAINERS = ("model", "state_dict", "model_state", "net")


def read_weight_file(file: Path) -> dict[str, Any]:
    """Load a file of tensors, numpy numbers and arrays, and plain values onto the CPU.

    Numpy values are allowed because public training scripts store their best rank-1 and mAP in the checkpoint.

    Raises:
        DataError: the file is missing or truncated, contains other objects, or is not a dict.
    """
    try:
        with torch.serialization.safe_globals(_numpy_values()):
            content = torch.load(file, map_location="cpu", weights_only=True)
    except Exception as error:  # torch's unpickler raises all kinds of errors on a truncated file
        raise DataError(f"'{file}' cannot be loaded as weights: {_reason(error)}") from None
    if not isinstance(content, dict):
        raise DataError(f"'{file}' contains a {type(content).__name__}, not a dict of weights")
    return content


def named_tensors(content: Mapping[str, object]) -> dict[str, Tensor]:
    """Return the tensors of a weight file by name, wherever its state dict is, without the prefix of a wrapped model.

    Args:
        content: a state dict, alone or below `model`, `state_dict`, `model_state` or `net`, among other values.
    """
    for key in CONTAINERS:
        inner = content.get(key)
        content = inner if isinstance(inner, Mapping) else content
    return {str(name).removeprefix("module."): value for name, value in content.items() if isinstance(value, Tensor)}


def _reason(error: Exception) -> str:
    """Return why a file was not loaded, without torch's advice to load it unsafely."""
    text = str(error)
    if "Weights only load failed" not in text and "weights_only" not in text:
        return text
    reference = re.search(r"GLOBAL (\S+)", text)
    content = f"it refers to {reference[1]}" if reference else "it contains more than tensors and plain values"
    return f"{content}, and files that could execute code are not loaded"


def _numpy_values() -> list[Any]:
    """Return the globals that pickles of numpy values refer to, under their numpy 2 and numpy 1 names."""
    dtypes = [kind for _, kind in inspect.getmembers(np.dtypes, inspect.isclass)]
    array = np._core.multiarray._reconstruct  # type: ignore[attr-defined]
    number = np._core.multiarray.scalar  # type: ignore[attr-defined]
    numpy_1 = [(array, "numpy.core.multiarray._reconstruct"), (number, "numpy.core.multiarray.scalar")]
    return [np.ndarray, np.dtype, *dtypes, array, number, *numpy_1]
