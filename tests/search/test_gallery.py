"""A gallery: exact search whatever its size, cosines, people, and folders that move."""

from pathlib import Path

import numpy as np
import pytest
from engine_cases import WIDTH, record, vectors

from vireid_plugins.errors import DataError
from vireid_plugins.search import Gallery, Record
from vireid_plugins.search import gallery as module


def filled(folder: Path, count: int = 30) -> Gallery:
    gallery = Gallery.create(folder, WIDTH, {"sha256": "x"})
    gallery.add([record(n) for n in range(count)], vectors(count))
    return gallery


def test_gallery_searches_what_sorting_finds_also_after_reopening(tmp_path: Path) -> None:
    queries = vectors(5, seed=9)
    order = np.argsort(-(queries @ vectors(30).T), axis=1)[:, :6]
    for gallery in (filled(tmp_path / "index"), Gallery.load(tmp_path / "index")):
        with gallery:
            assert len(gallery) == 30
            for hits, row in zip(gallery.search(queries, 6), order, strict=True):
                assert [hit.path for hit in hits] == [record(n).key for n in row]
                assert [hit.rank for hit in hits] == [1, 2, 3, 4, 5, 6]
            assert gallery.made_by == {"sha256": "x"}


def test_gallery_leaves_out_images_and_still_gives_as_many(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Asked again for more where nearly all are left out."""
    monkeypatch.setattr(module, "BEYOND", 0)
    queries = vectors(2, seed=9)
    with filled(tmp_path / "index") as gallery:
        plain = gallery.search(queries, 30)
        first = {hit.path for hit in plain[0][:20]}
        found = gallery.search(queries, 5, left_out=[lambda one: one.key in first, lambda one: False])
        assert [hit.path for hit in found[0]] == [hit.path for hit in plain[0][20:25]]
        assert [hit.path for hit in found[1]] == [hit.path for hit in plain[1][:5]]
        assert gallery.search(queries[:1], 5, left_out=[lambda one: True]) == [[]]


def test_gallery_finds_people_by_track_and_near_duplicates(tmp_path: Path) -> None:
    rows = np.zeros((6, WIDTH), np.float32)
    for n, angle in enumerate((0.0, 0.1, 0.9, 0.95, 1.4, 1.5)):
        rows[n, 0], rows[n, 1] = np.cos(angle), np.sin(angle)
    tracks = [("a", "1"), ("", ""), ("a", "2"), ("b", "1"), ("a", "1"), ("", "")]
    records = [Record(f"/{n}.jpg", 0, camera=camera, track=track) for n, (camera, track) in enumerate(tracks)]
    query = np.eye(1, WIDTH, dtype=np.float32)
    with Gallery.create(tmp_path / "index", WIDTH, {}) as gallery:
        gallery.add(records, rows)
        (people,) = gallery.search(query, 10, people=True)
        (two,) = gallery.search(query, 2, people=True)
    # 4 has the track of 0; 1 resembles 0, and 3 resembles 2, although its track is another camera's; 5 resembles none
    # that comes first.
    found = [[hit.path, *(one.record.key for one in hit.alike)] for hit in people]
    assert found == [["/0.jpg", "/1.jpg", "/4.jpg"], ["/2.jpg", "/3.jpg"], ["/5.jpg"]]
    assert [hit.path for hit in two] == ["/0.jpg", "/2.jpg"]


def test_gallery_hits_have_cosines_of_at_most_1(tmp_path: Path) -> None:
    longer = vectors(50) * np.float32(1 + 1e-6)
    with Gallery.create(tmp_path / "index", WIDTH, {}) as gallery:
        gallery.add([Record(f"/{n}", 0) for n in range(50)], longer)
        best = [hits[0].cosine for hits in gallery.search(longer, 1)]
    assert best == [1.0] * 50


def test_gallery_with_wrong_queries_or_none_is_one_error(tmp_path: Path) -> None:
    with filled(tmp_path / "index") as gallery:
        with pytest.raises(DataError, match=r"queries must be numbers of shape \(2, 16\); got float32 \(2, 3\)"):
            gallery.search(np.zeros((2, 3), np.float32))
        for value in (np.nan, np.inf, 0, 3):
            with pytest.raises(DataError, match="queries must have length 1"):
                gallery.search(np.full((1, WIDTH), value, np.float32))
        gallery.remove([record(n).key for n in range(30)])
        with pytest.raises(DataError, match="the gallery is empty"):
            gallery.search(vectors(1))


def test_gallery_load_finds_images_that_moved_with_it(tmp_path: Path) -> None:
    (tmp_path / "old" / "images").mkdir(parents=True)
    with Gallery.create(tmp_path / "old" / "index", WIDTH, {}) as gallery:
        gallery.add([Record(f"{tmp_path}/old/images/1.jpg", 0), Record("/elsewhere/2.jpg", 0)], vectors(2))
        gallery.keep({}, {f"{tmp_path}/old/images": [f"{tmp_path}/old/images"]})
    (tmp_path / "old").rename(tmp_path / "new")
    for _ in range(2):
        with Gallery.load(tmp_path / "new" / "index") as loaded:
            assert [one.key for one in loaded.records()] == [f"{tmp_path}/new/images/1.jpg", "/elsewhere/2.jpg"]
            assert loaded.folders == {f"{tmp_path}/new/images": [f"{tmp_path}/new/images"]}
            assert loaded.search(vectors(1), 1)[0][0].path == f"{tmp_path}/new/images/1.jpg"


@pytest.mark.parametrize(
    ("fact", "text", "said"),
    [
        ("made_by", "{", "Expecting property name"),
        ("made_by", "3", "'int' object is not iterable"),
        ("folders", "[1]", "cannot convert dictionary update"),
        ("folders", '{"/a": 3}', "."),
        ("folders", '{"/a": ["/a", 3]}', "its folders are no paths"),
        ("folders", "[[1, []]]", "its folders are no paths"),
        ("place", "[" * 100_000, "maximum recursion depth"),
    ],
)
def test_gallery_load_of_damaged_facts_is_one_error(tmp_path: Path, fact: str, text: str, said: str) -> None:
    """Also where it has moved, so that its folders are looked at."""
    with filled(tmp_path / "old", 2) as gallery:
        gallery.engine.set_facts({fact: text})
    (tmp_path / "old").rename(tmp_path / "index")
    with pytest.raises(DataError, match=rf"index' is damaged \({said}.*index the images again"):
        Gallery.load(tmp_path / "index")
