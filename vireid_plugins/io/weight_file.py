"""Reads files of weights without running anything in them."""

import inspect
import re
from pathlib import Path
from typing import Any

import numpy as np
import torch

from vireid_plugins.errors import DataError


def read_weight_file(file: Path) -> dict[str, Any]:
    """Load a file of tensors, numpy numbers and arrays, and plain values to the host.

    Public training scripts store their best rank-1 and mAP as numpy values beside the weights.

    Raises:
        DataError: the file is missing, torn, holds other objects, or is no dict.
    """
    try:
        with torch.serialization.safe_globals(_numpy_values()):
            content = torch.load(file, map_location="cpu", weights_only=True)
    except Exception as error:  # torch's unpickler meets a torn file with whatever error comes first
        raise DataError(f"'{file}' cannot be loaded as weights: {_reason(error)}") from None
    if not isinstance(content, dict):
        raise DataError(f"'{file}' holds a {type(content).__name__}, not a dict of weights")
    return content


def _reason(error: Exception) -> str:
    """Return why a file was not loaded, without torch's advice to load it all the same."""
    text = str(error)
    if "Weights only load failed" not in text and "weights_only" not in text:
        return text
    named = re.search(r"GLOBAL (\S+)", text)
    what = f"it names {named[1]}" if named else "it holds something else than tensors and plain values"
    return f"{what}, and what could run code is not loaded"


def _numpy_values() -> list[Any]:
    """Return what pickles of numpy numbers and arrays name, under numpy's module of today and of its first version."""
    dtypes = [kind for _, kind in inspect.getmembers(np.dtypes, inspect.isclass)]
    array = np._core.multiarray._reconstruct  # type: ignore[attr-defined]
    number = np._core.multiarray.scalar  # type: ignore[attr-defined]
    former = [(array, "numpy.core.multiarray._reconstruct"), (number, "numpy.core.multiarray.scalar")]
    return [np.ndarray, np.dtype, *dtypes, array, number, *former]
