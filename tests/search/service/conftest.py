"""A service whose features are mean colors, and clients of it in this process."""

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from galleries import Colors, paint
from service import Start, started

from vireid_plugins.search.indexing import index_images
from vireid_plugins.search.metadata import Metadata


def indexed(folder: Path, colors: Any) -> Path:
    """An index of four visible and two infrared images in a folder, one of which has facts."""
    paint(folder / "g", *(f"day/{n}.jpg" for n in range(4)), "night/4.png", "night/5.png")
    (folder / "facts.csv").write_text("file,camera,time,height\ng/day/1.jpg,3,2024-05-31T10:00Z,180\n")
    metadata = Metadata.read(folder / "facts.csv")
    index_images(colors, folder / "g", folder / "people.index", "folder", metadata=metadata)
    return folder / "people.index"


@pytest.fixture
def colors(tmp_path: Path) -> Colors:
    return Colors(tmp_path / "weights.pth")


@pytest.fixture
def index(colors: Any, tmp_path: Path) -> Path:
    return indexed(tmp_path, colors)


@pytest.fixture
def serve(index: Path, colors: Any) -> Iterator[Start]:
    """A function that starts a service of `index` in this process and returns a client of it."""
    with ExitStack() as stack:
        yield started(index, colors, stack)


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of `client`."""
    return tmp_path_factory.mktemp("shared")


@pytest.fixture(scope="module")
def client(shared: Path) -> Iterator[Any]:
    """A client of a service that no test changes; the index is `people.index` in `shared`."""
    colors = Colors(shared / "weights.pth")
    with ExitStack() as stack:
        yield started(indexed(shared, colors), colors, stack)()
