"""A folder of query images: faiss searches 499 of them one by one, and 501 by a matrix product, unless it is told."""

from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np

from speed_parts.measure import Subject
from speed_parts.searching import TOP, clustered
from speed_parts.sizes import size
from vireid_plugins.search.index import IndexKind, add, new_index, search

GALLERY, FOLDERS = size(100_000, 500), (499, 501)


def _folder(queries: int, folder: Path, device: str) -> Callable[[], object]:
    vectors, asked = clustered(GALLERY), clustered(queries, seed=1)
    index = new_index(IndexKind.FLAT, vectors)
    add(index, vectors, np.arange(GALLERY))
    return lambda: search(index, asked, TOP)


SUBJECTS = [
    Subject(f"a folder of queries over {GALLERY:,} vectors", f"{n} queries", partial(_folder, n), items=n)
    for n in FOLDERS
]
