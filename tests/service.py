"""What tests of the service share."""

import hashlib
import io
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest
from helpers import HANG
from PIL import Image

Start = Callable[..., Any]
LIMITS = {"upload": 100_000, "rate": 0, "seconds": 60.0}


def picture(color: tuple[int, int, int] = (200, 60, 90), kind: str = "PNG") -> bytes:
    """The content of an image file of one color."""
    stream = io.BytesIO()
    Image.new("RGB", (8, 8), color).save(stream, kind)
    return stream.getvalue()


def noise(size: tuple[int, int], kind: str = "JPEG") -> bytes:
    """The content of an image file of noise."""
    stream = io.BytesIO()
    Image.effect_noise(size, 60).convert("RGB").save(stream, kind)
    return stream.getvalue()


def id_of(file: Path) -> str:
    return hashlib.sha256(file.read_bytes()).hexdigest()


def names(answer: Any) -> list[str]:
    assert answer.status_code == 200, answer.text
    return [hit["name"] for hit in answer.json()["hits"]]


def until(true: Callable[[], Any]) -> None:
    """Wait until something is true."""
    end = time.monotonic() + HANG
    while not true():
        assert time.monotonic() < end
        time.sleep(0.01)


def started(index: Path, colors: Any, stack: ExitStack) -> Start:
    """A function that starts a service of an index in this process and returns a client of it."""
    pytest.importorskip("fastapi")
    from fastapi.testclient import TestClient

    from vireid_plugins.search.service.access import Access
    from vireid_plugins.search.service.app import create_app
    from vireid_plugins.search.service.desk import Desk
    from vireid_plugins.search.service.limits import Limits

    def start(token: str = "", **limits: Any) -> Any:
        desk = stack.enter_context(Desk(index, lambda _: colors, Limits(**{**LIMITS, **limits})))
        app = create_app(desk, Access("127.0.0.1", token))
        client: Any = TestClient(app, base_url="http://localhost", raise_server_exceptions=False)
        client.desk = desk
        return stack.enter_context(client)

    return start


@contextmanager
def at_port(app: Any) -> Iterator[str]:
    """Serve an application at a port inside a `with` block; yield its address."""
    uvicorn = pytest.importorskip("uvicorn")
    from vireid_plugins.search.service.server import Protocol, listening, url_of

    with listening("127.0.0.1", 0) as listener:
        server = uvicorn.Server(uvicorn.Config(app, http=Protocol, lifespan="off", log_config=None))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
        thread.start()
        try:
            yield url_of(listener)
        finally:
            server.should_exit = True
            thread.join()
