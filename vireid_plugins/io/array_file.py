"""Arrays from files that people have: `.npy`, `.npz`, MATLAB's `.mat` up to version 7, and text with a value per line.

The content decides what a file is, not its name. No code in one is run, and sizes that a header claims are compared
with the file before memory is taken.
"""

import re
import zipfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from vireid_plugins.errors import FeatureError
from vireid_plugins.io.arrays import read_npy, read_npz
from vireid_plugins.io.mat_file import parse_mat
from vireid_plugins.io.regular import open_regular, read_bytes, read_text

KINDS = "a .npy, .npz or .mat file, or text with a value per line"
# Of the largest .mat file; its numbers are read at once.
MAX_MAT = 2**30
# As Python writes it; 007 is a name, or it would be the same as 7.
_NUMBER = re.compile(r"-?[1-9][0-9]{0,17}|0")


class ArrayFile(NamedTuple):
    """An opened file.

    Attributes:
        file: the file.
        names: names of its arrays; a file of one array without a name has the name "".
        read: returns the array of a name.
    """

    file: Path
    names: list[str]
    read: Callable[[str], npt.NDArray[Any]]

    def find(self, names: Sequence[str]) -> npt.NDArray[Any] | None:
        """Return the array that has the first of these names, in any case, or the only one without a name."""
        if self.names == [""]:
            return self.read("")
        by_lower = {name.lower(): name for name in self.names}
        return next((self.read(by_lower[name]) for name in names if name in by_lower), None)


def split_name(words: str) -> tuple[Path, str]:
    """Return the file and the array's name of `FILE` or `FILE:NAME`; a file of that whole name comes first."""
    file, colon, name = words.rpartition(":")
    return (Path(file), name) if colon and file and not Path(words).exists() else (Path(words), "")


def open_arrays(file: Path) -> ArrayFile:
    """Open a file of arrays.

    Raises:
        FeatureError: it is missing, damaged, or of another kind; the message says how to convert what is known.
    """
    try:
        with open_regular(file) as stream:
            start = stream.read(512)
            archive = zipfile.is_zipfile(stream)
        if archive:
            return _npz(file)
        if start.startswith(b"\x93NUMPY"):
            array = read_npy(file)
            return ArrayFile(file, [""], lambda _: array)
        if start[126:128] in (b"IM", b"MI"):
            return _mat(file, start)
        if start.startswith((b"\x80", b"\x89HDF")):
            raise ValueError("it is a pickle or HDF5; load it where it was written and save its array with np.save")
        return _text(file)
    except FileNotFoundError:
        raise FeatureError(f"'{file}' does not exist; it must be {KINDS}") from None
    except OSError as error:
        raise FeatureError(f"'{file}' cannot be read: {error.strerror or error}") from None
    except UnicodeDecodeError:
        raise FeatureError(f"'{file}' is not {KINDS}") from None
    except (ValueError, TypeError, MemoryError) as error:
        raise FeatureError(f"'{file}' cannot be read: {' '.join(str(error).split())}") from None


def _npz(file: Path) -> ArrayFile:
    names = read_npz(file, ()).names
    if any(name.endswith("data.pkl") for name in names):
        raise ValueError("it is a file of torch.save; save the array with np.save(FILE, features.cpu().numpy())")

    def read(name: str) -> npt.NDArray[Any]:
        try:
            return read_npz(file, (name,)).found[name]
        except (ValueError, TypeError, MemoryError) as error:
            raise FeatureError(f"'{file}': {' '.join(str(error).split())}; save plain arrays") from None

    return ArrayFile(file, names, read)


def _mat(file: Path, start: bytes) -> ArrayFile:
    if start.startswith(b"MATLAB 7.3") or b"\x89HDF" in start:
        raise ValueError("it is of MATLAB 7.3, which is HDF5; save it with -v7, or its array with np.save")
    arrays = parse_mat(read_bytes(file, MAX_MAT))
    numbers = {name: array for name, array in arrays.items() if array is not None and array.dtype != object}
    return ArrayFile(file, list(numbers), lambda name: numbers[name])


def _text(file: Path) -> ArrayFile:
    """Return a row of numbers if every line is a whole number, else of text."""
    lines = [line.strip() for line in read_text(file).splitlines()]
    while lines and not lines[-1]:
        lines.pop()
    if "" in lines:
        raise ValueError(f"line {lines.index('') + 1} is empty; each line must be the value of one image")
    if not lines or any("\0" in line for line in lines):
        raise ValueError(f"it is empty or no text; it must be {KINDS}")
    whole = all(_NUMBER.fullmatch(line) for line in lines)
    row: npt.NDArray[Any] = np.array([int(line) for line in lines] if whole else lines)
    return ArrayFile(file, [""], lambda _: row)
