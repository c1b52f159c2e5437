"""Files of vectors: written once, mapped into memory, searched exactly in blocks."""

import re
from collections.abc import Iterator
from contextlib import suppress
from functools import cached_property
from pathlib import Path
from typing import Any

import faiss
import numpy as np
import numpy.typing as npt

from vireid_plugins.io.files import sync_folder, write_atomic
from vireid_plugins.io.regular import sha256_of
from vireid_plugins.search.engines.base import Vectors, damaged
from vireid_plugins.search.engines.rows import Numbers, Segment

DTYPES = ("float32", "float16")
# Rows that are copied, converted or compared at once.
BLOCK = 16_384
# Queries from which on a matrix product is faster than one query after the other, on one thread and widths from 256 to
# 6,144. Older releases of faiss count queries and begin at 20; newer ones count numbers, 128,000 of them.
BLAS_QUERIES = 4
_COUNTS_NUMBERS = faiss.cvar.distance_compute_blas_threshold > 1000
_NAME = re.compile(r"segment\.(\d+)\.npy")


def file_of(folder: Path, segment: int) -> Path:
    """Return the file of a segment."""
    return folder / f"segment.{segment}.npy"


def write(folder: Path, segment: int, parts: list[npt.NDArray[Any]], numbers: Numbers, dtype: str) -> Segment:
    """Write the parts (n_i, D) of a segment, one after the other, as one file.

    Raises:
        ConfigError: it cannot be written.
    """
    file, width = file_of(folder, segment), parts[0].shape[1]
    header = {"descr": np.dtype(dtype).str, "fortran_order": False, "shape": (len(numbers), width)}
    with write_atomic(file) as stream:
        np.lib.format.write_array_header_1_0(stream, header)
        for part in parts:
            for start in range(0, len(part), BLOCK):
                stream.write(np.ascontiguousarray(part[start : start + BLOCK], dtype).data)
    # Before the database names it.
    sync_folder(folder)
    return Segment(segment, numbers, sha256_of(file))


class VectorFile:
    """A segment and its vectors, which are mapped and compared with their digest when they are first looked at.

    Args:
        folder: folder of the gallery.
        segment: the segment.
        width: D.
        dtype: type of the stored numbers.
    """

    def __init__(self, folder: Path, segment: Segment, width: int, dtype: str) -> None:
        self.folder, self.segment, self.width, self.dtype = folder, segment, width, dtype

    @cached_property
    def vectors(self) -> npt.NDArray[Any]:
        """The vectors (n, D).

        Raises:
            DataError: the file is missing or damaged.
        """
        file = file_of(self.folder, self.segment.segment)
        try:
            if sha256_of(file) != self.segment.sha256:
                raise damaged(self.folder, f"'{file.name}' has another digest than when it was written")
            vectors: npt.NDArray[Any] = np.load(file, mmap_mode="r", allow_pickle=False)
        except (OSError, ValueError) as error:
            raise damaged(self.folder, f"'{file.name}': {error}") from None
        if vectors.shape != (len(self.segment.numbers), self.width) or vectors.dtype != np.dtype(self.dtype):
            raise damaged(self.folder, f"'{file.name}' holds {vectors.dtype} of shape {vectors.shape}")
        return vectors


def remove_others(folder: Path, kept: set[int]) -> None:
    """Remove files of segments that are not among those kept."""
    for file in folder.iterdir():
        match = _NAME.fullmatch(file.name)
        if match and int(match[1]) not in kept:
            with suppress(OSError):
                file.unlink()


def nearest(parts: Iterator[tuple[npt.NDArray[Any], Numbers]], queries: Vectors, top: int) -> tuple[Vectors, Numbers]:
    """Return inner products (Q, top) and numbers (Q, top), best first; number -1 where there are fewer vectors.

    Args:
        parts: vectors (n_i, D) of any floating type with their numbers (n_i,).
        queries: (Q, D).
        top: number of results per query.
    """
    faiss.cvar.distance_compute_blas_threshold = BLAS_QUERIES * (queries.shape[1] if _COUNTS_NUMBERS else 1)
    best = np.full((len(queries), top), -np.inf, np.float32)
    found = np.full((len(queries), top), -1, np.int64)
    for vectors, numbers in parts:
        for start in range(0, len(vectors), BLOCK):
            block = np.ascontiguousarray(vectors[start : start + BLOCK], np.float32)
            scores, rows = faiss.knn(queries, block, min(top, len(block)), metric=faiss.METRIC_INNER_PRODUCT)
            best = np.concatenate([best, scores], axis=1)
            found = np.concatenate([found, numbers[start : start + BLOCK][rows]], axis=1)
            order = np.argsort(-best, axis=1, kind="stable")[:, :top]
            best, found = np.take_along_axis(best, order, 1), np.take_along_axis(found, order, 1)
    return best, found
