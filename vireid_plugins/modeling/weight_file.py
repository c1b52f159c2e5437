"""Reads files of weights without running anything in them."""

from pathlib import Path
from typing import Any

import torch

from vireid_plugins.errors import DataError


def read_weight_file(file: Path) -> dict[str, Any]:
    """Load a file of tensors and plain values to the host.

    Raises:
        DataError: the file is missing, torn, holds other objects, or is no dict.
    """
    try:
        content = torch.load(file, map_location="cpu", weights_only=True)
    except Exception as error:  # torch's unpickler meets a torn file with whatever error comes first
        raise DataError(f"'{file}' cannot be loaded as weights: {error}") from None
    if not isinstance(content, dict):
        raise DataError(f"'{file}' holds a {type(content).__name__}, not a dict of weights")
    return content
