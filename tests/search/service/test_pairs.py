"""Marking hits through the service."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from service import id_of, picture

from vireid_plugins.search.indexing import remove_images
from vireid_plugins.search.marks import Mark, name_of_query, read_marks

Serve = Callable[..., Any]


def same_of(answer: Any) -> dict[str, Any]:
    return {hit["name"]: hit["same"] for hit in answer.json()["hits"]}


def test_upload_is_kept_when_it_is_marked_and_goes_with_its_last_mark(
    serve: Serve, index: Path, tmp_path: Path
) -> None:
    client, query = serve(), picture((1, 2, 3))
    id, name = id_of(tmp_path / "g/day/2.jpg"), name_of_query(query, ".png")
    found = client.post("/api/search", content=query)
    assert set(same_of(found).values()) == {None}
    assert not (index / "marked").exists()
    assert client.post(f"/api/marks?file={id}&same=no", content=query).json() == {"kept": True}
    assert read_marks(index) == [Mark(name, str(tmp_path / "g/day/2.jpg"), False)]
    assert (index / name).read_bytes() == query
    assert same_of(client.post("/api/search", content=query))["g/day/2.jpg"] is False
    # The query may be named by its id from now on.
    asked = f"/api/marks?file={id}&query={found.json()['query']['id']}"
    assert client.post(f"{asked}&same=yes").json() == {"kept": True}
    assert read_marks(index) == [Mark(name, str(tmp_path / "g/day/2.jpg"), True)]
    assert client.delete(asked).json() == {"kept": False}
    assert read_marks(index) == []
    assert list((index / "marked").iterdir()) == []


def test_query_of_the_index_is_marked_by_its_path(serve: Serve, index: Path, tmp_path: Path) -> None:
    client = serve()
    query, file = tmp_path / "g/night/4.png", tmp_path / "g/day/2.jpg"
    asked = f"/api/marks?file={id_of(file)}&same=yes"
    assert client.post(f"{asked}&query={id_of(query)}").json() == {"kept": False}
    # And so is an upload of it.
    assert client.post(asked, content=query.read_bytes()).json() == {"kept": False}
    assert read_marks(index) == [Mark(str(query), str(file), True)]
    assert same_of(client.get(f"/api/search?like={id_of(query)}"))["g/day/2.jpg"] is True
    assert not (index / "marked").exists()


@pytest.mark.parametrize(
    ("asked", "body", "status", "text"),
    [
        ("file={unknown}&same=yes", picture(), 404, "the index has no image with the id 000"),
        ("file={known}&same=yes", b"", 404, "query: the index has no such image"),
        ("file={known}&query={unknown}&same=yes", b"", 404, "query: the index has no such image"),
        ("file={known}&same=yes", b"no image", 422, "cannot identify image file"),
        ("file={known}&same=perhaps", picture(), 400, "same: Input should be 'yes' or 'no'"),
        ("file=../g&same=yes", picture(), 400, "file: String should match pattern"),
        ("file={known}&query=../g&same=yes", b"", 400, "query: String should match pattern"),
    ],
)
def test_wrong_mark_writes_nothing(client: Any, shared: Path, asked: str, body: bytes, status: int, text: str) -> None:
    asked = asked.format(unknown="0" * 64, known=id_of(shared / "g/day/2.jpg"))
    answer = client.post(f"/api/marks?{asked}", content=body)
    assert answer.status_code == status
    assert text in answer.json()["error"]
    assert not {"marks.csv", "marked"} & {file.name for file in (shared / "people.index").iterdir()}


def test_removed_image_is_gone_from_the_marks(serve: Serve, index: Path, tmp_path: Path) -> None:
    client, id = serve(), id_of(tmp_path / "g/day/2.jpg")
    client.post(f"/api/marks?file={id}&same=yes", content=picture((1, 2, 3)))
    client.post(f"/api/marks?file={id_of(tmp_path / 'g/day/1.jpg')}&same=no", content=picture((4, 5, 6)))
    remove_images(index, tmp_path / "g/day/2.jpg")
    assert read_marks(index) == [Mark(name_of_query(picture((4, 5, 6)), ".png"), str(tmp_path / "g/day/1.jpg"), False)]
    assert len(list((index / "marked").iterdir())) == 1
    assert b"2.jpg" not in (index / "marks.csv").read_bytes()


def test_damaged_marks_stop_no_search(
    serve: Serve, index: Path, caplog: pytest.LogCaptureFixture, tmp_path: Path
) -> None:
    client = serve()
    (index / "marks.csv").write_text("nothing\n")
    assert client.post("/api/search", content=picture()).status_code == 200
    answer = client.post(f"/api/marks?file={id_of(tmp_path / 'g/day/2.jpg')}&same=yes", content=picture())
    assert answer.status_code == 503
    assert "the log of the service says why" in answer.json()["error"]
    assert f"{index}{os.sep}marks.csv" in caplog.text
