"""Thermal images written by hand, since Pillow does not write every kind, and how they are read."""

import struct
import zlib
from pathlib import Path

import numpy as np

from vireid_plugins.data.decode import SEARCH_FORMATS, read_image
from vireid_plugins.data.thermal import DEFAULT, Stretch


def tiff(file: Path, values: np.ndarray, kind: str, photometric: int = 1) -> Path:
    """Write a TIFF of one channel and strip: a numpy type with its byte order."""
    order, (height, width) = kind[0], values.shape
    data = values.astype(kind).tobytes()
    form = {"u": 1, "i": 2, "f": 3}[kind[1]]
    tags = {256: width, 257: height, 258: 8 * int(kind[2]), 259: 1, 262: photometric}
    tags |= {273: 8, 277: 1, 278: height, 279: len(data), 339: form}
    content = {"<": b"II*\0", ">": b"MM\0*"}[order] + struct.pack(order + "I", 8 + len(data)) + data
    content += struct.pack(order + "H", len(tags))
    for tag, value in tags.items():
        content += struct.pack(order + "HHIHH", tag, 3, 1, value, 0)
    file.write_bytes(content + bytes(4))
    return file


def read(file: Path, stretch: Stretch = DEFAULT) -> np.ndarray:
    found = read_image(str(file), (16, 16), "bilinear", stretch, SEARCH_FORMATS)
    assert (found == found[..., :1]).all()
    return found[..., 0]


def png(file: Path, values: np.ndarray) -> Path:
    """Write a PNG of 16-bit gray."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in values)
    head = struct.pack(">IIBBBBB", values.shape[1], values.shape[0], 16, 0, 0, 0, 0)
    parts = chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
    file.write_bytes(b"\x89PNG\r\n\x1a\n" + parts)
    return file


def planes(file: Path, frames: np.ndarray, text: str) -> Path:
    """Write a TIFF of three channels (3, H, W), one after another, with a text about it."""
    count, height, width = frames.shape
    data, words, size = frames.tobytes(), text.encode() + b"\0", frames[0].nbytes
    tables = struct.pack("<3H", *[8 * frames.itemsize] * 3) + struct.pack("<3I", *(8 + n * size for n in range(count)))
    tables += struct.pack("<3I", *[size] * 3) + words
    first = 8 + len(data)
    tags = {256: (1, width), 257: (1, height), 258: (3, first), 259: (1, 1), 262: (1, 2), 270: (len(words), first + 30)}
    tags |= {273: (3, first + 6), 277: (1, 3), 278: (1, height), 279: (3, first + 18), 284: (1, 2)}
    content = b"II*\0" + struct.pack("<I", first + len(tables)) + data + tables + struct.pack("<H", len(tags))
    for tag, (number, value) in tags.items():
        content += struct.pack("<HHII", tag, {270: 2, 273: 4, 279: 4}.get(tag, 3), number, value)
    file.write_bytes(content + bytes(4))
    return file
