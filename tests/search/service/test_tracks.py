"""An index of tracks through the service: entries, their frames, "more like this" and marks."""

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from galleries import Colors
from PIL import Image
from service import id_of, names, started

from vireid_plugins.search.marks import Mark, read_marks
from vireid_plugins.search.metadata import Metadata
from vireid_plugins.search.tracks import index_tracks, remove_from

# File, color, camera, track, time, quality; two tracks have one name.
CROPS = [
    ("a1.png", (200, 20, 20), "north", "t1", 10, 0.2),
    ("a2.png", (200, 60, 20), "north", "t1", 5, 0.8),
    ("b1.png", (20, 200, 20), "south", "t1", 7, 0.5),
    ("c1.png", (20, 20, 200), "north", "", 9, 0.5),
    ("d1.png", (90, 20, 200), "", "t9", 1, 0.5),
    ("d2.png", (95, 20, 200), "", "t9", 2, 0.4),
]


@pytest.fixture
def crops(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """A folder of crops, and beside it the index of their tracks, of means unless a test says otherwise."""
    folder = tmp_path / "g"
    folder.mkdir()
    lines = ["file,camera,track,time,quality"]
    for name, color, *facts in CROPS:
        Image.new("RGB", (8, 8), color).save(folder / name)
        lines.append(",".join(map(str, (name, *facts))))
    (folder / "crops.csv").write_text("\n".join(lines) + "\n")
    colors: Any = Colors(tmp_path / "weights.pth")
    metadata, how = Metadata.read(folder / "crops.csv"), getattr(request, "param", "mean")
    index_tracks(colors, folder, tmp_path / "index", "visible", how=how, metadata=metadata)
    return folder


@pytest.fixture
def client(crops: Path, tmp_path: Path) -> Iterator[Any]:
    colors = Colors(tmp_path / "weights.pth")
    with ExitStack() as stack:
        yield started(tmp_path / "index", colors, stack)()


def hit(answer: Any, name: str) -> Any:
    (found,) = [one for one in answer.json()["hits"] if one["name"] == name]
    return found


def frames(client: Any, id: str, asked: str = "") -> list[str]:
    page = client.get(f"/api/images/{id}/frames?{asked}")
    assert page.status_code == 200, page.text
    return [one["name"] for one in page.json()["images"]]


@pytest.mark.parametrize("crops", ["mean", "best"], indirect=True)
def test_track_is_one_hit_with_its_frames(client: Any, crops: Path) -> None:
    said = client.get("/api/index").json()
    assert (said["images"], said["visible"], said["frames"]) == (4, 4, 6)
    answer = client.get(f"/api/search?like={id_of(crops / 'c1.png')}")
    assert sorted(names(answer)) == ["g/a2.png", "g/b1.png", "g/d1.png"]
    assert [hit(answer, f"g/{name}.png")["frames"] for name in ("a2", "b1", "d1")] == [2, 1, 2]
    assert answer.json()["searched"] == 4
    found = hit(answer, "g/a2.png")
    assert found["time"] == "1970-01-01T00:00:05+00:00"
    # By time; each is shown, and is of the same track.
    assert frames(client, found["id"]) == ["g/a2.png", "g/a1.png"]
    assert frames(client, id_of(crops / "a1.png")) == ["g/a2.png", "g/a1.png"]
    assert frames(client, found["id"], "start=1&count=1") == ["g/a1.png"]
    assert frames(client, hit(answer, "g/d1.png")["id"]) == ["g/d1.png", "g/d2.png"]
    assert frames(client, id_of(crops / "c1.png")) == []
    for name in ("a1", "a2"):
        picture = client.get(f"/api/images/{id_of(crops / f'{name}.png')}")
        assert (picture.status_code, picture.headers["content-type"]) == (200, "image/jpeg")


def test_frame_is_a_query_that_leaves_out_its_track(client: Any, crops: Path) -> None:
    for name in ("a1.png", "a2.png"):
        like = client.get(f"/api/search?like={id_of(crops / name)}")
        assert sorted(names(like)) == ["g/b1.png", "g/c1.png", "g/d1.png"]
        assert like.json()["query"]["name"] == f"g/{name}"
        # As an upload of the same file.
        uploaded = client.post("/api/search?modality=visible", content=(crops / name).read_bytes())
        assert sorted(names(uploaded)) == sorted(names(like))


def test_conditions_hold_for_tracks(client: Any, crops: Path) -> None:
    like = f"/api/search?like={id_of(crops / 'c1.png')}"
    assert names(client.get(f"{like}&camera=north")) == ["g/a2.png"]
    assert sorted(names(client.get(f"{like}&where=track=t1"))) == ["g/a2.png", "g/b1.png"]
    assert [one["name"] for one in client.get("/api/images?camera=north").json()["images"]] == ["g/a2.png", "g/c1.png"]


def test_frames_of_what_the_index_lacks_are_refused(client: Any) -> None:
    assert client.get(f"/api/images/{'0' * 64}/frames").status_code == 404
    assert client.get("/api/images/..%2Fframes").status_code == 400
    assert client.get(f"/api/images/{'0' * 64}/frames?count=0").status_code == 400


def test_track_that_changes_is_shown_as_it_is_then(client: Any, crops: Path, tmp_path: Path) -> None:
    best, other = id_of(crops / "a2.png"), id_of(crops / "a1.png")
    assert len(frames(client, best)) == 2
    remove_from(tmp_path / "index", crops / "a2.png")
    answer = client.get(f"/api/search?like={id_of(crops / 'c1.png')}")
    assert hit(answer, "g/a1.png")["frames"] == 1
    assert frames(client, other) == ["g/a1.png"]
    for path in (f"/api/images/{best}", f"/api/images/{best}/frames", f"/api/search?like={best}"):
        assert client.get(path).status_code == 404


def test_marks_of_a_track_go_when_its_images_are_removed(client: Any, crops: Path, tmp_path: Path) -> None:
    file, query = id_of(crops / "b1.png"), id_of(crops / "a1.png")
    # What a search may find, with any image of the index for a query.
    assert client.post(f"/api/marks?file={query}&query={file}&same=no").status_code == 404
    assert client.post(f"/api/marks?file={file}&query={query}&same=no").json() == {"kept": False}
    assert read_marks(tmp_path / "index") == [Mark(str(crops / "a1.png"), str(crops / "b1.png"), False)]
    assert hit(client.get(f"/api/search?like={query}"), "g/b1.png")["same"] is False
    remove_from(tmp_path / "index", crops / "a1.png")
    assert read_marks(tmp_path / "index") == []
