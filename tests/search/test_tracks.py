"""One entry per track: made, updated and removed with its images, found and linked back to them."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from galleries import Colors
from PIL import Image

from vireid_plugins.detections import represent
from vireid_plugins.errors import DataError
from vireid_plugins.search import Condition, Gallery, Record
from vireid_plugins.search.metadata import Metadata
from vireid_plugins.search.pairs import calibrate_with_pairs
from vireid_plugins.search.querying import Wanted, query_images
from vireid_plugins.search.tracks import frames_of, index_tracks, remove_from, way_of

# File, color, camera, track, time, quality.
CROPS = [
    ("a1.png", (200, 20, 20), "north", "t1", 10, 0.2),
    ("a2.png", (200, 60, 20), "north", "t1", 5, 0.8),
    ("b1.png", (20, 200, 20), "south", "t1", 7, 0.5),
    ("c1.png", (20, 20, 200), "north", "", 9, 0.5),
]


@pytest.fixture
def colors(tmp_path: Path) -> Any:
    return Colors(tmp_path / "weights.pth")


def write(folder: Path, crops: list[Any]) -> Metadata:
    folder.mkdir(exist_ok=True)
    lines = ["file,camera,track,time,quality,person,frame"]
    for number, (name, color, camera, track, time, quality) in enumerate(crops):
        if not (folder / name).exists():
            Image.new("RGB", (8, 8), color).save(folder / name)
        lines.append(f"{name},{camera},{track},{time},{quality},{track or 'x'}{camera},{number}")
    (folder / "crops.csv").write_text("\n".join(lines) + "\n")
    return Metadata.read(folder / "crops.csv")


def indexed(colors: Any, folder: Path, crops: list[Any], how: str = "mean") -> Any:
    facts = write(folder, crops)
    return index_tracks(colors, folder, folder.parent / "index", "visible", how=how, metadata=facts)


def entries(folder: Path) -> dict[str, tuple[Record, np.ndarray]]:
    with Gallery.load(folder.parent / "index") as gallery:
        records = gallery.records()
        vectors = gallery.engine.vectors([one.key for one in records])
    return {Path(one.key).name: (one, vector) for one, vector in zip(records, vectors, strict=True)}


def unit(*colors: tuple[int, int, int]) -> np.ndarray:
    rows = np.array(colors, np.float32)
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


@pytest.mark.parametrize("how", ["mean", "best"])
def test_index_tracks_makes_one_entry_of_a_camera_and_a_track(colors: Any, tmp_path: Path, how: Any) -> None:
    done = indexed(colors, tmp_path / "g", CROPS, how)
    assert (done.total, done.entries, done.counts) == (4, 3, {"added": 4})
    found = entries(tmp_path / "g")
    assert set(found) == {"a2.png", "b1.png", "c1.png"}
    record, vector = found["a2.png"]
    assert (record.camera, record.track, record.time) == ("north", "t1", 5.0)
    # What differs between the images is no fact of the track.
    assert dict(record.extra) == {"person": "t1north"}
    expected = represent(unit(CROPS[1][1], CROPS[0][1]), np.array([0.8, 0.2]), how)
    np.testing.assert_allclose(vector, expected, atol=1e-6)
    with Gallery.load(tmp_path / "index") as gallery:
        frames = frames_of(gallery)
    assert [(Path(one.key).name, one.time) for one in frames[0, "north", "t1"]] == [("a2.png", 5), ("a1.png", 10)]
    assert (way_of(tmp_path / "index", None), way_of(tmp_path / "index", how)) == (how, how)
    with pytest.raises(DataError, match=f"was made with --tracks {how}; choose another folder"):
        way_of(tmp_path / "index", "none")


def test_index_tracks_again_updates_the_tracks_that_changed(colors: Any, tmp_path: Path) -> None:
    folder = tmp_path / "g"
    indexed(colors, folder, CROPS)
    before = entries(folder)
    more = [*CROPS, ("b2.png", (20, 200, 90), "south", "t1", 8, 0.9)]
    assert indexed(colors, folder, more).counts == {"added": 1, "unchanged": 4}
    after = entries(folder)
    assert set(after) == {"a2.png", "b2.png", "c1.png"}
    np.testing.assert_allclose(
        after["b2.png"][1], represent(unit((20, 200, 20), (20, 200, 90)), np.array([0.5, 0.9])), atol=1e-6
    )
    assert after["a2.png"][0] == before["a2.png"][0]

    (folder / "a2.png").unlink()
    (folder / "b2.png").unlink()
    indexed(colors, folder, [CROPS[0], *CROPS[2:]])
    assert {name: one.time for name, (one, _) in entries(folder).items()}["a1.png"] == 10
    assert remove_from(tmp_path / "index", folder / "a1.png") == (1, 2)
    assert set(entries(folder)) == {"b1.png", "c1.png"}
    assert remove_from(tmp_path / "index", folder) == (2, 0)
    assert entries(folder) == {}


def test_query_images_of_a_frame_leaves_out_its_track_and_keeps_filters(colors: Any, tmp_path: Path) -> None:
    folder = tmp_path / "g"
    indexed(colors, folder, CROPS)
    with Gallery.load(tmp_path / "index") as gallery:

        def names(**wanted: Any) -> list[str]:
            ((result,), _) = query_images(gallery, colors, folder / "a1.png", "visible", Wanted(5, **wanted))
            return [Path(hit.path).name for hit in result.hits]

        assert names() == ["a2.png", "b1.png", "c1.png"]
        assert names(find="both") == ["b1.png", "c1.png"]
        assert names(where=(Condition("camera", "=", "north"),), people=True) == ["a2.png", "c1.png"]
        assert names(where=(Condition("person", "=", "t1south"),)) == ["b1.png"]


def test_index_tracks_that_was_killed_before_the_entries_goes_on(colors: Any, tmp_path: Path) -> None:
    folder = tmp_path / "g"
    indexed(colors, folder, CROPS)
    (tmp_path / "index" / "gallery.db").unlink()
    for file in (tmp_path / "index").glob("segment*"):
        file.unlink()
    assert indexed(colors, folder, CROPS).entries == 3
    assert set(entries(folder)) == {"a2.png", "b1.png", "c1.png"}


def test_calibrate_with_pairs_passes_over_the_track_of_the_query(colors: Any, tmp_path: Path) -> None:
    folder = tmp_path / "g"
    indexed(colors, folder, CROPS)
    pairs = {str(folder / "a1.png"): {str(folder / "b1.png"): False}}
    with Gallery.load(tmp_path / "index") as gallery:
        done = calibrate_with_pairs(gallery, colors, pairs, "visible", Wanted(1), 0.01)
    assert (done.thresholds.source, done.untold) == ("marks", 0)
