"""What a query finds."""

import re
import shutil
from pathlib import Path
from typing import Any

import pytest
from galleries import Colors, indexed, paint

from vireid_plugins.errors import ConfigError, DataError
from vireid_plugins.search import Gallery
from vireid_plugins.search import querying as module
from vireid_plugins.search.engines.where import parsed
from vireid_plugins.search.indexing import index_images
from vireid_plugins.search.metadata import Metadata
from vireid_plugins.search.querying import QueryResult, Wanted, query_images


@pytest.fixture
def colors(tmp_path: Path) -> Any:
    return Colors(tmp_path / "weights.pth")


def queried(colors: Any, folder: Path, queries: str, wanted: Wanted, way: str = "visible") -> list[QueryResult]:
    with Gallery.load(folder / "index") as gallery:
        return query_images(gallery, colors, folder / queries, way, wanted)[0]


def names(result: QueryResult) -> list[str]:
    return [Path(hit.path).name for hit in result.hits]


@pytest.mark.parametrize(("together", "searched"), [(1, [2, 2, 1]), (3, [4, 1]), (512, [5])])
def test_query_images_searches_many_at_once_and_keeps_their_order(
    colors: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, together: int, searched: list[int]
) -> None:
    """Batches of two images go through the network."""
    paint(tmp_path / "g", *(f"{number}.jpg" for number in range(5)))
    indexed(colors, tmp_path / "g")
    asked: list[int] = []
    monkeypatch.setattr(module, "SEARCHED", together)
    search = Gallery.search
    monkeypatch.setattr(Gallery, "search", lambda self, rows, *how: asked.append(len(rows)) or search(self, rows, *how))
    results = queried(colors, tmp_path, "g", Wanted(1))
    assert asked == searched
    assert [Path(one.hits[0].path).name for one in results] == [f"{number}.jpg" for number in range(5)]
    assert all(one.query == one.hits[0].path for one in results)


@pytest.fixture
def mixed(colors: Any, tmp_path: Path) -> Path:
    """Four visible images in two folders, two infrared ones, and a copy of the first under another name."""
    paint(tmp_path / "g", "day/a/1.jpg", "day/a/2.jpg", "day/b/3.jpg", "day/b/4.jpg", "night/5.jpg", "night/6.jpg")
    shutil.copy(tmp_path / "g/day/a/1.jpg", tmp_path / "g/day/b/copy.jpg")
    lines = ["file,camera,time,track,height", "g/day/a/1.jpg,1,2024-05-31T10:00Z,,180"]
    lines += ["g/day/a/2.jpg,1,2024-05-31T11:00Z,7,170", "g/day/b/3.jpg,2,2024-05-31T12:00Z,7,160"]
    lines += ["g/night/5.jpg,3,2024-05-31T12:30Z,,"]
    (tmp_path / "facts.csv").write_text("\n".join(lines) + "\n")
    metadata = Metadata.read(tmp_path / "facts.csv")
    index_images(colors, tmp_path / "g", tmp_path / "index", "folder", metadata=metadata)
    return tmp_path


def test_query_images_without_find_gives_every_image_the_query_included(colors: Any, mixed: Path) -> None:
    (one,) = queried(colors, mixed, "g/day/a/1.jpg", Wanted(20))
    assert len(names(one)) == 7
    assert set(names(one)[:2]) == {"1.jpg", "copy.jpg"}
    assert one.hits[0].cosine == 1


@pytest.mark.parametrize(
    ("find", "expected"),
    [
        ("visible", ["2.jpg", "3.jpg", "4.jpg"]),
        ("infrared", ["5.jpg", "6.jpg"]),
        ("both", ["2.jpg", "3.jpg", "4.jpg", "5.jpg", "6.jpg"]),
    ],
)
def test_query_images_with_find_leaves_out_the_query_and_its_copies(
    colors: Any, mixed: Path, find: str, expected: list[str]
) -> None:
    (one,) = queried(colors, mixed, "g/day/a/1.jpg", Wanted(20, find))
    assert names(one) == expected
    # As many as were asked for, although something is left out.
    (one,) = queried(colors, mixed, "g/day/a/1.jpg", Wanted(2, find))
    assert names(one) == expected[:2]


@pytest.mark.parametrize(
    ("conditions", "expected"),
    [
        (["camera=1"], {"1.jpg", "2.jpg"}),
        (["time>=2024-05-31T11:00Z"], {"2.jpg", "3.jpg", "5.jpg"}),
        (["time>2024-05-31T11:00Z", "camera!=3"], {"3.jpg"}),
        (["height<175"], {"2.jpg", "3.jpg"}),
    ],
)
def test_query_images_with_conditions_finds_what_passes(
    colors: Any, mixed: Path, conditions: list[str], expected: set[str]
) -> None:
    (one,) = queried(colors, mixed, "g/day/b/4.jpg", Wanted(20, where=tuple(map(parsed, conditions))))
    assert set(names(one)) == expected


def test_query_images_for_people_gives_one_answer_per_track(colors: Any, mixed: Path) -> None:
    """Track 7 of two cameras is two tracks; the images' colors are near-duplicates of their neighbors' unless told."""
    (one,) = queried(colors, mixed, "g/day/a/1.jpg", Wanted(20, people=True))
    found = [{Path(hit.path).name, *(Path(other.record.key).name for other in hit.alike)} for hit in one.hits]
    assert set.union(*found) == {f"{n}.jpg" for n in range(1, 7)} | {"copy.jpg"}
    assert sum(map(len, found)) == 7
    assert {"1.jpg", "copy.jpg"} <= found[0]


def test_query_images_for_more_than_there_are_finds_all(colors: Any, mixed: Path) -> None:
    (one,) = queried(colors, mixed, "g/day/a/1.jpg", Wanted(10**20))
    assert len(one.hits) == 7


def test_wanted_of_an_unknown_modality_is_one_error() -> None:
    with pytest.raises(ConfigError, match="--find: unknown value 'thermal'; available: both, infrared, visible"):
        Wanted(find="thermal")


def test_query_images_with_conditions_that_nothing_passes_says_what_there_is(colors: Any, mixed: Path) -> None:
    wanted = Wanted(find="visible", where=tuple(map(parsed, ["height=180", "camera=2", "time>2024-05-31"])))
    message = re.escape(
        "no image of the gallery passes modality = visible and height = 180 and camera = 2 and time > "
        "2024-05-31T00:00:00+00:00; it has 5 visible and 2 infrared images, its cameras are 1, 2, 3, its "
        "times are from 2024-05-31T10:00:00+00:00 to "
        "2024-05-31T12:30:00+00:00, and its columns height"
    )
    with pytest.raises(DataError, match=message):
        queried(colors, mixed, "g/day/b/4.jpg", wanted)


def test_query_images_none_of_which_can_be_read_names_them(colors: Any, tmp_path: Path) -> None:
    paint(tmp_path / "g", "1.jpg")
    indexed(colors, tmp_path / "g")
    (tmp_path / "q").mkdir()
    for name in ("a.jpg", "b.jpg"):
        (tmp_path / "q" / name).write_bytes(b"no image")
    with pytest.raises(DataError, match=r"^not read: .*q/a\.jpg.*; .*q/b\.jpg"):
        queried(colors, tmp_path, "q", Wanted())
