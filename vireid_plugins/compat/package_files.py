"""Lets fast-reid find files of its own package."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import fastreid


@contextmanager
def package_files() -> Iterator[None]:
    """Work, inside a `with` block, in the folder that holds the package `fastreid`.

    Its RegNet and EfficientNet open `fastreid/modeling/backbones/regnet/...yaml` relative to the working directory,
    which only a checkout of its repository has.
    """
    before = Path.cwd()
    os.chdir(Path(fastreid.__file__).parent.parent)
    try:
        yield
    finally:
        os.chdir(before)
