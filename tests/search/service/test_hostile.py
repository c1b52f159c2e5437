"""What nobody may have: files outside the gallery, the time of others, an answer without the token."""

import asyncio
import struct
import threading
import zlib
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from helpers import HANG
from service import id_of, picture, until

from vireid_plugins.search.service.refusal import RefusedError

Serve = Callable[..., Any]
UNKNOWN = "0" * 64


def declared(width: int, height: int) -> bytes:
    """A PNG whose header declares a size and which has a few bytes of pixels."""

    def chunk(name: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    head = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + head + chunk(b"IDAT", zlib.compress(bytes(8))) + chunk(b"IEND", b"")


@pytest.mark.parametrize(
    ("body", "status", "text"),
    [
        (b"", 400, "it is empty"),
        (b"%PDF-1.4 no image", 422, "cannot identify image file; it must be JPEG"),
        (b"<svg xmlns='http://www.w3.org/2000/svg'/>", 422, "cannot identify image file"),
        (b"GIF89a" + bytes(20), 422, "cannot identify image file"),
        (picture(kind="JPEG")[:-40], 422, "cannot be read: "),
        (picture()[:45], 422, "cannot be read: "),
        (bytes(100_001), 413, "larger than 100,000 bytes"),
        (declared(30_000, 1_000), 422, "it has 30000 x 1000 pixels; at most 16,000,000 pixels are allowed"),
        (declared(30_000, 30_000), 422, "cannot be read: "),
    ],
)
def test_search_refuses_what_is_no_image(client: Any, body: bytes, status: int, text: str) -> None:
    answer = client.post("/api/search", content=body)
    assert answer.status_code == status
    assert text in answer.json()["error"]


def test_upload_without_a_declared_length_ends_at_the_limit(client: Any) -> None:
    sent = []

    def parts() -> Any:
        for _ in range(1000):
            sent.append(1)
            yield bytes(1000)

    assert client.post("/api/search", content=parts()).status_code == 413


def test_form_with_a_path_for_a_name_is_refused_and_nothing_is_written(client: Any, shared: Path) -> None:
    before = set(shared.rglob("*"))
    for path in ("/api/search", f"/api/marks?file={id_of(shared / 'g/day/0.jpg')}&same=yes"):
        answer = client.post(path, files={"image": ("../../outside.png", picture(), "image/png")})
        assert answer.status_code == 415
        assert "curl --data-binary" in answer.json()["error"]
    assert set(shared.rglob("*")) == before


@pytest.mark.parametrize(
    "id",
    [
        "..%2F..%2Fweights.pth",
        "%2Fetc%2Fhostname",
        "../people.index/gallery.db",
        "g/day/0.jpg",
        UNKNOWN.upper() + "A",
        "0",
    ],
)
def test_image_is_named_by_its_content_and_nothing_else(client: Any, id: str) -> None:
    answer = client.get(f"/api/images/{id}")
    assert answer.status_code in (400, 404)
    assert list(answer.json()) == ["error"]


def test_file_outside_the_index_is_never_sent(serve: Serve, tmp_path: Path) -> None:
    client = serve()
    (tmp_path / "g/secret.png").write_bytes(picture((1, 2, 3)))
    assert client.get(f"/api/images/{id_of(tmp_path / 'g/secret.png')}").status_code == 404
    # In the place of an image of the index.
    id = id_of(tmp_path / "g/day/0.jpg")
    (tmp_path / "g/day/0.jpg").unlink()
    (tmp_path / "g/day/0.jpg").symlink_to(tmp_path / "g/secret.png")
    answer = client.get(f"/api/images/{id}")
    assert answer.status_code == 404
    assert "has changed since it was indexed" in answer.json()["error"]
    # It still has a vector, with which it can be a query.
    assert client.get(f"/api/search?like={id}").status_code == 200


@pytest.mark.parametrize(
    ("asked", "text"),
    [
        ("top=0", "top: Input should be greater than or equal to 1"),
        ("top=101", "top: at most 100, got 101"),
        ("top=many", "top: Input should be a valid integer"),
        ("find=everything", "find: Input should be 'visible', 'infrared' or 'both'"),
        ("modality=folder", "modality: Input should be 'auto', 'visible' or 'infrared'"),
        ("where=height", "'height' is no condition; write NAME=VALUE"),
        ("where=folder<a", "folder <: a file is in a folder or not"),
        ("since=noon", "'noon' is no time"),
        ("cammera=3", "cammera: Extra inputs are not permitted"),
        ("camera=" + "a" * 501, "camera: String should have at most 500 characters"),
        ("&".join(["where=a=1"] * 21), "where: List should have at most 20 items"),
    ],
)
def test_search_with_a_wrong_parameter_says_which(client: Any, asked: str, text: str) -> None:
    answer = client.post(f"/api/search?{asked}", content=picture())
    assert answer.status_code == 400
    assert text in answer.json()["error"]


def test_odd_text_in_conditions_finds_nothing_and_breaks_nothing(client: Any) -> None:
    for text in ("'; DROP TABLE rows; --", "%00", "\U0001f600", "%ff%fe", "../../..", "/etc"):
        answer = client.post("/api/search", params={"camera": text, "folder": text}, content=picture())
        assert answer.json()["hits"] == []
    assert len(client.post("/api/search", content=picture()).json()["hits"]) == 6


@pytest.mark.parametrize("path", ["/api/search?like=x", "/api/images?x=1", f"/api/search?like={UNKNOWN}", "/nothing"])
def test_errors_have_one_form_and_no_path_of_the_machine(client: Any, shared: Path, path: str) -> None:
    answer = client.get(path)
    assert answer.status_code in (400, 404)
    assert list(answer.json()) == ["error"]
    assert str(shared) not in answer.text


def test_damaged_gallery_is_no_traceback_for_the_client(
    serve: Serve, index: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    client = serve()
    (segment,) = index.glob("segment.*.npy")
    segment.write_bytes(b"torn")
    answer = client.post("/api/search", content=picture())
    assert answer.status_code == 503
    assert answer.json() == {"error": "the index cannot be searched; the log of the service says why"}
    assert str(index) in caplog.text


def test_token_is_needed_for_everything_about_the_gallery(serve: Serve, tmp_path: Path) -> None:
    token = "a-token-of-some-length"
    client, id = serve(token), id_of(tmp_path / "g/day/0.jpg")
    asked = [
        *(
            ("GET", "/api/index"),
            ("GET", "/api/images"),
            ("GET", f"/api/images/{id}"),
            ("GET", f"/api/search?like={id}"),
        ),
        *(("POST", "/api/search"), ("POST", f"/api/marks?file={id}&query={id}&same=yes")),
        ("DELETE", f"/api/marks?file={id}&query={id}"),
    ]
    for method, path in asked:
        for header in (
            {},
            {"Authorization": f"Bearer {token}x"},
            {"Authorization": token},
            {"Authorization": "Bearer é"},
        ):
            headers = {name: value.encode("latin-1") for name, value in header.items()}
            answer = client.request(method, path, headers=headers)
            assert answer.status_code == 401
            assert answer.headers["www-authenticate"] == "Bearer"
        content = picture() if path == "/api/search" else b""
        good = client.request(method, path, headers={"Authorization": f"Bearer {token}"}, content=content)
        assert good.status_code == 200, good.text
    # The page asks for it.
    assert client.get("/").status_code == 200


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Host": "somewhere.example"}, 403),
        ({"Host": "somewhere.example", "Origin": "http://somewhere.example"}, 403),
        ({"Origin": "http://somewhere.example"}, 403),
        ({"Origin": "null"}, 403),
        ({"Host": "["}, 403),
        ({"Origin": "http://["}, 403),
        ({"Host": "127.0.0.1:8000", "Origin": "http://127.0.0.1:8000"}, 200),
        ({"Host": "[::1]:8000"}, 200),
        ({"Host": "localhost"}, 200),
    ],
)
def test_page_from_elsewhere_gets_nothing(client: Any, headers: dict[str, str], status: int) -> None:
    assert client.get("/api/index", headers=headers).status_code == status


def test_client_that_asks_too_often_is_told_when_to_come_again(serve: Serve, tmp_path: Path) -> None:
    client, id = serve(rate=3), id_of(tmp_path / "g/day/0.jpg")
    # Twenty thumbnails count as a request.
    assert {client.get(f"/api/images/{id}").status_code for _ in range(20)} == {200}
    assert [client.get("/api/index").status_code for _ in range(3)] == [200, 200, 429]
    refused = client.post("/api/search", content=picture())
    assert refused.status_code == 429
    assert 1 <= int(refused.headers["retry-after"]) <= 20


def test_service_with_too_much_to_do_says_so_and_goes_on(serve: Serve, colors: Any) -> None:
    """A network that waits, and a place for one more query."""
    begun, go = threading.Event(), threading.Event()
    features = colors.features

    def slow(*given: Any) -> Any:
        begun.set()
        assert go.wait(HANG)
        return features(*given)

    colors.features = slow
    client = serve(waiting=1)
    with ThreadPoolExecutor(2) as pool:
        try:
            first = pool.submit(client.post, "/api/search", content=picture())
            assert begun.wait(HANG)
            second = pool.submit(client.post, "/api/search", content=picture())
            until(client.desk.batcher._queue.full)
            third = client.post("/api/search", content=picture())
            # What needs no network is answered meanwhile.
            assert client.get("/api/index").status_code == 200
        finally:
            go.set()
    assert third.status_code == 503
    assert "too many queries are waiting" in third.json()["error"]
    assert [one.result().status_code for one in (first, second)] == [200, 200]


def test_answer_that_does_not_come_is_given_up(serve: Serve) -> None:
    desk = serve(seconds=0.01).desk

    async def never() -> None:
        await desk._in_time(asyncio.get_running_loop().create_future())

    with pytest.raises(RefusedError, match=r"no answer within 0\.01 s"):
        asyncio.run(never())


@pytest.mark.parametrize(("ends", "status"), [(False, 408), (True, 400)])
def test_body_that_does_not_come_is_given_up(ends: bool, status: int) -> None:
    from starlette.requests import Request

    from vireid_plugins.search.service.bodies import Bodies
    from vireid_plugins.search.service.limits import Limits

    async def receive() -> dict[str, Any]:
        if not ends:
            await asyncio.get_running_loop().create_future()
        return {"type": "http.disconnect"}

    async def read() -> None:
        async with Bodies(Limits(100, 0, 0.01)).read(Request({"type": "http", "headers": []}, receive)):
            pass

    with pytest.raises(RefusedError) as refused:
        asyncio.run(read())
    assert refused.value.status == status
