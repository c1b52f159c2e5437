"""What tests of the service share."""

import hashlib
import io
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from helpers import HANG
from PIL import Image

LIMITS = {"upload": 100_000, "rate": 0, "seconds": 60.0}


def picture(color: tuple[int, int, int] = (200, 60, 90), kind: str = "PNG") -> bytes:
    """The content of an image file of one color."""
    stream = io.BytesIO()
    Image.new("RGB", (8, 8), color).save(stream, kind)
    return stream.getvalue()


def id_of(file: Path) -> str:
    return hashlib.sha256(file.read_bytes()).hexdigest()


def names(answer: Any) -> list[str]:
    assert answer.status_code == 200, answer.text
    return [hit["name"] for hit in answer.json()["hits"]]


def until(true: Callable[[], Any]) -> None:
    """Wait until something is true."""
    end = time.monotonic() + HANG
    while not true():
        assert time.monotonic() < end
        time.sleep(0.01)
