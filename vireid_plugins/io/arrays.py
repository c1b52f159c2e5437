"""Read numpy's `.npz` and `.npy` files; the sizes that they claim are checked before memory is taken for them."""

import math
import zipfile
import zlib
from collections.abc import Collection
from pathlib import Path
from typing import IO, Any, NamedTuple

import numpy as np
import numpy.typing as npt

from vireid_plugins.io.regular import open_regular

# An array that takes more than both when unpacked is refused. Paths, the most regular of what is stored, shrink to a
# fiftieth; what is made to fill memory, to a thousandth.
MAX_UNPACKED, MAX_RATIO = 2**30, 200
# Bytes of a `.npy` file from which on it is mapped.
MAPPED = 2**28
_HEADERS: dict[tuple[int, int], Any] = {
    (1, 0): np.lib.format.read_array_header_1_0,
    (2, 0): np.lib.format.read_array_header_2_0,
}


class Arrays(NamedTuple):
    """Content of a `.npz` file: the arrays that were asked for, and the names of all."""

    found: dict[str, npt.NDArray[Any]]
    names: list[str]


def read_npz(file: Path, wanted: Collection[str]) -> Arrays:
    """Return arrays of a `.npz` file by name, as far as it has them. No code in it is run.

    Raises:
        OSError: the file cannot be read, or is no regular file.
        ValueError: it is no such file or is damaged, or an array holds objects or would fill memory.
    """
    with open_regular(file) as stream:
        try:
            with zipfile.ZipFile(stream, mode="r") as archive:
                members = {info.filename.removesuffix(".npy"): info for info in archive.infolist()}
                if len(members) < len(archive.infolist()):
                    raise ValueError("it holds two arrays of one name")
                found = {name: _array(archive, members[name]) for name in wanted if name in members}
        except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError, KeyError) as error:
            raise ValueError(str(error) or type(error).__name__) from None
    return Arrays(found, list(members))


def read_npy(file: Path) -> npt.NDArray[Any]:
    """Return the array of a `.npy` file, a large one mapped into memory, read-only. No code in it is run.

    Raises:
        OSError: the file cannot be read, or is no regular file.
        ValueError: it is no such file or is damaged, or the array holds objects.
    """
    with open_regular(file) as stream:
        size = stream.seek(0, 2)
        stream.seek(0)
        _require_size(stream, size, "it")
        stream.seek(0)
        if size > MAPPED:
            # What is read block by block then takes no memory but the system's cache.
            mapped: npt.NDArray[Any] = np.load(file, mmap_mode="r", allow_pickle=False)
            return mapped
        array: npt.NDArray[Any] = np.lib.format.read_array(stream, allow_pickle=False)
    return array


def _array(archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> npt.NDArray[Any]:
    if info.file_size > max(MAX_UNPACKED, MAX_RATIO * info.compress_size):
        raise ValueError(f"{info.filename} takes {info.compress_size:,} bytes and would unpack to {info.file_size:,}")
    with archive.open(info, mode="r") as stream:
        _require_size(stream, info.file_size, info.filename)
        stream.seek(0)
        array: npt.NDArray[Any] = np.lib.format.read_array(stream, allow_pickle=False)
    return array


def _require_size(stream: IO[bytes], size: int, name: str) -> None:
    """Raise a `ValueError` unless an array, with its header of `size` bytes, has those that the header claims."""
    version = np.lib.format.read_magic(stream)
    if version not in _HEADERS:
        raise ValueError(f"{name} is of version {version}, for arrays of records")
    shape, _, dtype = _HEADERS[version](stream)
    if dtype.hasobject:
        raise ValueError(f"{name} holds Python objects")
    # Texts of length 0 take no bytes.
    claimed, there = math.prod(shape) * max(dtype.itemsize, 1), size - stream.tell()
    if claimed > there and not (dtype.itemsize == 0 and math.prod(shape) < MAX_UNPACKED):
        raise ValueError(f"the header of {name} claims {claimed:,} bytes where {there:,} are left")
