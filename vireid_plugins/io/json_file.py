"""Read JSON of any origin: what Python's parser lets through or fails on differently is a `ValueError`."""

import json
from pathlib import Path
from typing import Any

from vireid_plugins.io.regular import MAX_TEXT, read_text


def read_json(file: Path, limit: int = MAX_TEXT) -> Any:
    """Return the content of a JSON file.

    Args:
        file: the file.
        limit: largest number of bytes.

    Raises:
        OSError: it cannot be read, or is no regular file.
        ValueError: see `parse_json`, or it is not UTF-8.
    """
    return parse_json(read_text(file, limit))


def parse_json(text: str) -> Any:
    """Return what a JSON text stands for.

    Raises:
        ValueError: it is malformed, nested too deep, or has a key twice.
    """
    try:
        return json.loads(text, object_pairs_hook=_once)
    except RecursionError:
        raise ValueError("it is nested too deep") from None


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    value = dict(pairs)
    if len(value) < len(pairs):
        names = [name for name, _ in pairs]
        raise ValueError(f"'{next(name for name in names if names.count(name) > 1)}' is given twice")
    return value
