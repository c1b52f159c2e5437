"""An index that is updated, emptied or made anew while it is served: answers are those of the index as it is then."""

import os
import shutil
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from galleries import Colors, paint
from service import id_of, names, picture, started

from vireid_plugins.search import Gallery
from vireid_plugins.search.indexing import index_images, remove_images

Serve = Callable[..., Any]
ALL = [*(f"g/day/{n}.jpg" for n in range(4)), "g/night/4.png", "g/night/5.png"]


def found(client: Any, asked: str = "") -> list[str]:
    return sorted(names(client.post(f"/api/search?{asked}", content=picture())))


def touch(*files: Path) -> None:
    for file in files:
        os.utime(file, ns=(1, file.stat().st_mtime_ns + 10**9))


def test_images_that_are_indexed_again_with_the_same_content_are_found(
    serve: Serve, index: Path, colors: Any, tmp_path: Path
) -> None:
    client = serve()
    assert found(client) == ALL
    touch(*(tmp_path / "g").rglob("*.*"))
    index_images(colors, tmp_path / "g", index, "folder")
    assert found(client) == ALL
    assert found(client, "find=visible") == ALL[:4]


def test_change_is_seen_by_the_next_request_of_every_kind(
    serve: Serve, index: Path, colors: Any, tmp_path: Path
) -> None:
    client, id = serve(), id_of(tmp_path / "g/day/1.jpg")
    assert client.get("/api/index").json()["cameras"] == ["3"]
    assert found(client, "camera=3") == ["g/day/1.jpg"]
    # As many images as before.
    remove_images(index, tmp_path / "g/day/1.jpg")
    paint(tmp_path / "more", "a.png")
    index_images(colors, tmp_path / "more", index, "infrared")
    said = client.get("/api/index").json()
    assert (said["cameras"], said["columns"], said["times"]) == ([], [], [])
    assert (said["visible"], said["infrared"]) == (3, 3)
    assert found(client, "camera=3") == []
    assert found(client, "find=infrared") == [*ALL[4:], "more/a.png"]
    assert client.get("/api/images").json()["total"] == 6
    for path in (f"/api/images/{id}", f"/api/images/{id}/frames", f"/api/search?like={id}"):
        assert client.get(path).status_code == 404


def test_index_without_images_finds_nothing(serve: Serve, index: Path, tmp_path: Path) -> None:
    client = serve()
    remove_images(index, tmp_path / "g")
    answer = client.post("/api/search", content=picture()).json()
    assert (answer["hits"], answer["searched"], answer["verdict"]) == ([], 0, None)
    assert client.get("/api/index").json()["images"] == client.get("/api/images").json()["total"] == 0


def test_index_that_is_made_anew_takes_the_place_of_the_former(
    serve: Serve, index: Path, colors: Any, tmp_path: Path
) -> None:
    client, former = serve(), id_of(tmp_path / "g/day/0.jpg")
    assert found(client) == ALL
    paint(tmp_path / "more", "b/1.png", "b/2.png")
    index_images(colors, tmp_path / "more", tmp_path / "new.index", "visible")
    shutil.rmtree(index)
    asked = ("/api/index", f"/api/images/{former}", f"/api/images/{former}/frames", f"/api/search?like={former}")
    for answer in (*map(client.get, asked), client.post("/api/search", content=picture())):
        assert answer.status_code == 503
        assert "the log of the service says why" in answer.json()["error"]
    (tmp_path / "new.index").rename(index)
    assert found(client) == ["more/b/1.png", "more/b/2.png"]
    assert client.get("/api/index").json()["images"] == 2
    assert client.get(f"/api/images/{former}").status_code == 404
    assert client.get(f"/api/images/{id_of(tmp_path / 'more/b/1.png')}").status_code == 200
    # And it is followed, too.
    remove_images(index, tmp_path / "more/b/1.png")
    assert found(client) == ["more/b/2.png"]


def test_index_that_another_model_made_anew_is_not_searched(serve: Serve, index: Path, tmp_path: Path) -> None:
    client = serve()
    (tmp_path / "other.pth").write_bytes(b"other weights")
    other: Any = Colors(tmp_path / "other.pth")
    index.rename(tmp_path / "former.index")
    index_images(other, tmp_path / "g", index, "folder")
    for answer in (client.post("/api/search", content=picture()), client.get("/api/index")):
        assert answer.status_code == 503
        assert answer.json()["error"] == "the index was made anew by another model; the service must be restarted"
    shutil.rmtree(index)
    (tmp_path / "former.index").rename(index)
    assert found(client) == ALL


def test_search_beside_a_process_that_indexes_finds_whole_states(
    serve: Serve, index: Path, colors: Any, tmp_path: Path
) -> None:
    """Images are touched, added and removed, or the index is made anew, while four clients ask for what is there."""
    client, id, done = serve(), id_of(tmp_path / "g/day/0.jpg"), threading.Event()
    allowed = {*ALL, "g/night/new.png"}

    def ask() -> int:
        count = 0
        while not done.is_set():
            answers = [client.post("/api/search", content=picture()), client.get(f"/api/search?like={id}&find=visible")]
            for answer in answers:
                assert answer.status_code == 200, answer.text
                said = answer.json()
                assert set(names(answer)) <= allowed
                # Counted a moment before the search.
                assert said["searched"] in (4, 6, 7)
            assert len(answers[0].json()["hits"]) in (6, 7)
            assert len(answers[1].json()["hits"]) == 3
            assert client.get("/api/index").json()["images"] in (6, 7)
            count += 1
        return count

    def change() -> None:
        for round in range(6):
            touch(*(tmp_path / "g/day").iterdir())
            paint(tmp_path / "g", "night/new.png")
            index_images(colors, tmp_path / "g", index, "folder")
            (tmp_path / "g/night/new.png").unlink()
            index_images(colors, tmp_path / "g", index, "folder")
            with Gallery.load(index) as gallery:
                assert len(gallery) == 6, round

    with ThreadPoolExecutor(4) as pool:
        clients = [pool.submit(ask) for _ in range(4)]
        try:
            change()
        finally:
            done.set()
        assert all(one.result() > 0 for one in clients)


@pytest.mark.slow
def test_milvus_index_is_followed_as_any_other(colors: Any, tmp_path: Path) -> None:
    """Behind a port, since an embedded one is for one process."""
    pytest.importorskip("milvus_lite")
    from contextlib import ExitStack

    from engine_cases import milvus_server

    from vireid_plugins.search.engines.kind import Kind

    index = tmp_path / "people.index"
    paint(tmp_path / "g", "day/0.jpg", "day/1.jpg")
    with ExitStack() as stack:
        uri = stack.enter_context(milvus_server(tmp_path / "server.db"))
        index_images(colors, tmp_path / "g", index, "visible", kind=Kind(uri=uri))
        client = started(index, colors, stack)()
        assert found(client) == ALL[:2]
        remove_images(index, tmp_path / "g/day/1.jpg")
        assert found(client) == ALL[:1]
        assert client.get("/api/index").json()["images"] == 1
        shutil.rmtree(index)
        index_images(colors, tmp_path / "g", index, "visible", kind=Kind(uri=uri))
        assert found(client) == ALL[:2]
