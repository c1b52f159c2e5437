"""Clients that send no image, half of one, or nothing for long: each has a clear answer, and the service goes on."""

import http.client
import json
import socket
import struct
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any
from urllib.parse import urlsplit

import pytest
from helpers import HANG
from service import at_port, noise, picture, until

Serve = Callable[..., Any]
CLIENTS = 64


def tiff(width: int, height: int) -> bytes:
    """A TIFF whose header declares a size, and that has a hundred bytes of pixels."""
    tags = {256: width, 257: height, 258: 8, 259: 1, 262: 1, 273: 8, 277: 1, 278: height, 279: 100}
    entries = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in tags.items())
    return b"II*\0" + struct.pack("<I", 108) + bytes(100) + struct.pack("<H", len(tags)) + entries + bytes(4)


def half(content: bytes) -> bytes:
    return content[: len(content) // 2]


BMP = b"BM" + struct.pack("<IHHI", 100, 0, 0, 54) + struct.pack("<IiiHHIIiiII", 40, 99_999, 99_999, 1, 24, *[0] * 6)
ODD = [
    (b"", 400, "it is empty"),
    (b"hello\n" * 50, 422, "cannot identify image file; it must be JPEG"),
    (b'{"image": "night.png"}', 422, "cannot identify image file"),
    (b"P5 10 10 255\n123", 422, "image file is truncated"),
    (b"P5 99999 99999 65535\n", 422, "it has too many pixels; at most 16,000,000 are allowed"),
    (BMP, 422, "it has too many pixels"),
    (tiff(99_999, 99_999), 422, "it has too many pixels"),
    (tiff(5_000, 4_000), 422, "it has 5000 x 4000 pixels; at most 16,000,000 pixels are allowed"),
    (tiff(100, 100), 422, "truncated"),
    *((half(noise((32, 64), kind)), 422, "the image cannot be read: ") for kind in ("JPEG", "PNG", "WEBP")),
    (bytes(100_001), 413, "the image is larger than 100,000 bytes"),
]


def asked(url: str, body: Any, path: str = "/api/search", **headers: str) -> tuple[int, Any]:
    """The status of an answer over HTTP, and what it says."""
    connection = http.client.HTTPConnection(urlsplit(url).netloc, timeout=HANG)
    try:
        connection.request("POST", path, body, headers)
        answer = connection.getresponse()
        return answer.status, json.loads(answer.read())
    finally:
        connection.close()


@contextmanager
def connected(url: str) -> Iterator[socket.socket]:
    parts = urlsplit(url)
    with socket.create_connection((parts.hostname, parts.port), timeout=HANG) as connection:
        yield connection


def received(connection: socket.socket) -> bytes:
    """Everything until the service closes the connection."""
    found = b""
    while part := connection.recv(65_536):
        found += part
    return found


def impatient(client: Any) -> None:
    """Wait little from now on."""
    object.__setattr__(client.desk.limits, "seconds", 0.2)


@pytest.mark.parametrize(("body", "status", "text"), ODD)
def test_odd_upload_is_refused_with_what_is_wrong(client: Any, body: bytes, status: int, text: str) -> None:
    answer = client.post("/api/search", content=body)
    assert answer.status_code == status
    assert text in answer.json()["error"]


def test_64_clients_with_odd_uploads_are_answered_and_the_service_goes_on(serve: Serve) -> None:
    client = serve(uploads=2)
    bodies, most = client.desk.bodies, [0]
    take = bodies._take

    async def counting(size: int) -> None:
        await take(size)
        most[0] = max(most[0], bodies.held)

    bodies._take = counting
    good = picture()
    forms = [({"Content-Type": "multipart/form-data; boundary=x"}, 415), ({"Content-Type": "text/plain"}, 422)]
    with at_port(client.app) as url, ThreadPoolExecutor(CLIENTS) as pool:

        def one(number: int) -> list[tuple[int, int]]:
            body, status, text = ODD[number % len(ODD)]
            found, said = asked(url, body)
            assert text in said["error"]
            headers, refused = forms[number % 2]
            return [
                (found, status),
                (asked(url, b"--x\r\nno image\r\n--x--", **headers)[0], refused),
                (asked(url, good, "/api/search?image=1")[0], 400),
                (asked(url, good)[0], 200),
            ]

        for answers in pool.map(one, range(CLIENTS)):
            assert [found for found, _ in answers] == [expected for _, expected in answers]
        assert len(asked(url, good)[1]["hits"]) == 6
    assert 0 < most[0] <= client.desk.limits.held
    assert bodies.held == 0


def test_body_waits_for_room_and_is_refused_when_none_comes(serve: Serve) -> None:
    client = serve(uploads=1, seconds=60.0)
    head = b"POST /api/search HTTP/1.1\r\nHost: localhost\r\nContent-Length: 99999\r\n\r\nabc"
    with at_port(client.app) as url, ThreadPoolExecutor(1) as pool:
        with connected(url) as slow:
            slow.sendall(head)
            until(lambda: client.desk.bodies.held == 99_999)
            waiting = pool.submit(asked, url, picture())
            assert not waiting.done()
            # What has no body is answered meanwhile.
            assert client.get("/api/index").status_code == 200
        # A client that goes away makes room.
        assert waiting.result(HANG)[0] == 200
        until(lambda: client.desk.bodies.held == 0)
        impatient(client)
        client.desk.bodies.held = 99_999
        status, said = asked(url, picture())
        assert (status, said["error"]) == (503, "too many images are being sent; try again later")


def test_slow_client_is_told_so_and_stops_nobody(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    from vireid_plugins.search.service.server import Protocol

    monkeypatch.setattr(Protocol, "seconds", 0.3)
    client = serve()
    with at_port(client.app) as url, connected(url) as head, connected(url) as silent:
        head.sendall(b"POST /api/search HTTP/1.1\r\nHost: local")
        assert len(asked(url, picture())[1]["hits"]) == 6
        # Whose headers never end, or never begin, is left.
        assert received(head) == received(silent) == b""
        monkeypatch.undo()
        impatient(client)
        with connected(url) as body:
            body.sendall(b"POST /api/search HTTP/1.1\r\nHost: localhost\r\nContent-Length: 99\r\n\r\nabc")
            answer = received(body)
        assert answer.startswith(b"HTTP/1.1 408 ")
        assert b"the image did not come within 0.2 s" in answer
        assert client.desk.bodies.held == 0


@pytest.mark.parametrize(
    "request_",
    [
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\r\n\r\n",
        b"POST /api/search HTTP/1.1\r\nHost: localhost\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\nabc",
        b"POST /api/search HTTP/1.1\r\nHost: localhost\r\nContent-Length: -3\r\n\r\nabc",
        b"POST /api/search HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\nabc\r\n",
    ],
)
def test_what_is_no_http_is_refused(serve: Serve, request_: bytes) -> None:
    client = serve()
    with at_port(client.app) as url:
        with connected(url) as connection:
            connection.sendall(request_)
            assert received(connection).startswith(b"HTTP/1.1 400 ")
        assert asked(url, picture())[0] == 200
