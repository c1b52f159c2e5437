"""Read MATLAB files of cells and numbers, of version 5 (MATLAB's `-v6` and `-v7`).

The format: MathWorks, "MAT-File Format", sections on level 5. scipy's reader trusts the sizes in a file, and one that
was torn or changed can end the process; here every size is compared with the bytes that are there.
"""

import functools
import math
import struct
import zlib
from collections.abc import Iterator
from typing import Any

import numpy as np

# Number types of stored data, and the type codes of a matrix and of compressed data.
_STORED = {1: "i1", 2: "u1", 3: "i2", 4: "u2", 5: "i4", 6: "u4", 7: "f4", 9: "f8", 12: "i8", 13: "u8"}
_MATRIX, _COMPRESSED = 14, 15
# Array classes: cells, and the numbers from double to uint64.
_CELL, _NUMBERS = 1, range(6, 16)
_COMPLEX = 0x0800
# The official draws of SYSU-MM01 take 8 MB.
_MAX_BYTES = 256 << 20
_MAX_DEPTH = 8


def parse_mat(content: bytes) -> dict[str, Any]:
    """Return the variables of a MATLAB file by name: arrays of numbers, object arrays of such arrays, else None.

    Raises:
        ValueError: the content is torn or of another version.
    """
    try:
        return dict(_variables(content))
    except (struct.error, zlib.error) as error:
        raise ValueError(str(error)) from None


def _variables(content: bytes) -> Iterator[tuple[str, Any]]:
    if len(content) < 128:
        raise ValueError(f"it has {len(content)} bytes, and its header alone takes 128")
    order = {b"IM": "<", b"MI": ">"}.get(content[126:128], "")
    if not order or struct.unpack(order + "H", content[124:126])[0] != 0x0100:
        raise ValueError("its header names no such version")
    for kind, data in _elements(memoryview(content)[128:], order):
        if kind == _COMPRESSED:
            unpacker = zlib.decompressobj()
            inflated = unpacker.decompress(data, _MAX_BYTES)
            if not unpacker.eof:
                raise ValueError("its compressed data end early or take more than 256 MB")
            for inner, matrix in _elements(memoryview(inflated), order):
                if inner == _MATRIX:
                    yield _array(matrix, order)
        elif kind == _MATRIX:
            yield _array(data, order)


def _elements(data: memoryview, order: str) -> Iterator[tuple[int, memoryview]]:
    """Yield the type and the bytes of each data element."""
    at = 0
    while at + 8 <= len(data):
        kind, size = struct.unpack_from(order + "II", data, at)
        if kind >> 16:  # up to four bytes of data in the tag itself
            kind, size, start, end = kind & 0xFFFF, kind >> 16, at + 4, at + 8
            if size > 4:
                raise ValueError(f"a short element claims {size} bytes")
        else:
            start = at + 8
            end = start + size + (-size % 8 if kind != _COMPRESSED else 0)
        if start + size > len(data):
            raise ValueError(f"an element claims {size:,} bytes where {len(data) - start:,} are left")
        yield kind, data[start : start + size]
        at = end


def _array(data: memoryview, order: str, depth: int = 0) -> tuple[str, Any]:
    """Return the name and the content of a matrix element."""
    if depth > _MAX_DEPTH:
        raise ValueError(f"its cells are nested more than {_MAX_DEPTH} deep")
    numbers = _cell_of_numbers(data, order) if depth else None
    if numbers is not None:
        return "", numbers
    elements = _elements(data, order)
    if not len(data):
        return "", np.empty((0, 0))
    flags, shape, name = (_numbers(*next(elements, (0, data[:0])), order) for _ in range(3))
    sizes = shape.tolist()
    if len(flags) != 2 or shape.dtype.kind != "i" or len(sizes) < 2 or min(sizes) < 0 or name.dtype.itemsize != 1:
        raise ValueError("an array has no class, shape and name")
    title, count = name.tobytes().decode("latin-1"), math.prod(sizes)
    kind = int(flags[0]) & 0xFF
    if kind == _CELL:
        cells = [_array(inner, order, depth + 1)[1] for code, inner in elements if code == _MATRIX]
        if len(cells) != count:
            raise ValueError(f"an array of {count:,} cells holds {len(cells)}")
        array = np.empty(count, object)
        for index, cell in enumerate(cells):
            array[index] = cell
    elif kind in _NUMBERS and not int(flags[0]) & _COMPLEX:
        array = _numbers(*next(elements, (0, data[:0])), order)
        if len(array) != count:
            raise ValueError(f"an array of {count:,} numbers holds {len(array):,}")
    else:
        # Text and structures, which an official file may hold besides.
        return title, None
    return title, array.reshape(sizes, order="F")


def _cell_of_numbers(data: memoryview, order: str) -> Any:
    """Return a matrix without a name whose elements have the usual lengths, as nearly all cells; None for another."""
    if len(data) < 48:
        return None
    *tags, rows, columns, text, none, kind, size = struct.unpack_from(order + "4I2I2i2I2I", data)
    flags = tags.pop(2)
    usual = (tags[:2], tags[3:], (text, none)) == ([6, 8], [5, 8], (1, 0)) and kind in _STORED
    if not usual or flags & _COMPLEX or flags & 0xFF not in _NUMBERS or min(rows, columns) < 0 or 48 + size > len(data):
        return None
    array = _numbers(kind, data[48 : 48 + size], order)
    return array.reshape((rows, columns), order="F") if len(array) == rows * columns else None


@functools.cache
def _dtype(order: str, kind: int) -> np.dtype[Any]:
    return np.dtype(order + _STORED[kind])


def _numbers(kind: int, data: memoryview, order: str) -> Any:
    if kind not in _STORED:
        raise ValueError(f"an element of type {kind} is found where numbers are expected")
    dtype = _dtype(order, kind)
    if len(data) % dtype.itemsize:
        raise ValueError("an element of numbers ends within one")
    return np.frombuffer(data, dtype)
