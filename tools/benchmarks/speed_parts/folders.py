"""A folder of query images: faiss searches 499 of them one by one, and 501 by a matrix product, unless it is told."""

from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np

from speed_parts.measure import Subject
from speed_parts.searching import TOP, clustered
from speed_parts.sizes import size
from vireid_plugins.search.engines.vector_files import nearest

GALLERY, FOLDERS = size(100_000, 500), (499, 501)


def _folder(queries: int, folder: Path, device: str) -> Callable[[], object]:
    vectors, asked = clustered(GALLERY), clustered(queries, seed=1)
    return lambda: nearest(iter([(vectors, np.arange(GALLERY))]), asked, TOP)


SUBJECTS = [
    Subject(f"a folder of queries over {GALLERY:,} vectors", f"{n} queries", partial(_folder, n), items=n)
    for n in FOLDERS
]
