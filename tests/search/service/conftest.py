"""A service whose features are mean colors, and clients of it in this process."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from galleries import Colors, paint
from service import LIMITS

from vireid_plugins.search.indexing import index_images
from vireid_plugins.search.metadata import Metadata
from vireid_plugins.search.service.limits import Limits

Start = Callable[..., Any]


def indexed(folder: Path, colors: Any) -> Path:
    """An index of four visible and two infrared images in a folder, one of which has facts."""
    paint(folder / "g", *(f"day/{n}.jpg" for n in range(4)), "night/4.png", "night/5.png")
    (folder / "facts.csv").write_text("file,camera,time,height\ng/day/1.jpg,3,2024-05-31T10:00Z,180\n")
    metadata = Metadata.read(folder / "facts.csv")
    index_images(colors, folder / "g", folder / "people.index", "folder", metadata=metadata)
    return folder / "people.index"


def started(index: Path, colors: Any, stack: ExitStack) -> Start:
    pytest.importorskip("fastapi")
    from fastapi.testclient import TestClient

    from vireid_plugins.search.service.access import Access
    from vireid_plugins.search.service.app import create_app
    from vireid_plugins.search.service.desk import Desk

    def start(token: str = "", **limits: Any) -> Any:
        desk = stack.enter_context(Desk(index, lambda _: colors, Limits(**{**LIMITS, **limits})))
        app = create_app(desk, Access("127.0.0.1", token))
        client: Any = TestClient(app, base_url="http://localhost", raise_server_exceptions=False)
        client.desk = desk
        return stack.enter_context(client)

    return start


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
