import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from vireid_plugins.errors import DataError
from vireid_plugins.search import Gallery, IndexKind
from vireid_plugins.search import index as indexes
from vireid_plugins.search.gallery import Entry

WIDTH = 16


def vectors(count: int, seed: int = 0) -> np.ndarray:
    found = np.random.default_rng(seed).standard_normal((count, WIDTH)).astype(np.float32)
    return found / np.linalg.norm(found, axis=1, keepdims=True)


def filled(count: int = 30) -> Gallery:
    gallery = Gallery(WIDTH, {"sha256": "x"})
    gallery.add([Entry(f"/g/{n}.jpg", n % 2, "1 1") for n in range(count)], vectors(count))
    return gallery


def check(gallery: Gallery, by_path: dict[str, np.ndarray]) -> None:
    """What is found is what sorting finds."""
    queries = vectors(5, seed=9)
    names = list(by_path)
    products = queries @ np.stack(list(by_path.values())).T
    for hits, row in zip(gallery.search(queries, 6), products, strict=True):
        order = np.argsort(-row)[:6]
        assert [hit.path for hit in hits] == [names[n] for n in order]
        assert [hit.rank for hit in hits] == [1, 2, 3, 4, 5, 6]
        np.testing.assert_allclose([hit.similarity for hit in hits], row[order], rtol=1e-5)


def test_gallery_adds_removes_replaces_saves_and_loads(tmp_path: Path) -> None:
    gallery = filled()
    content = dict(zip([f"/g/{n}.jpg" for n in range(30)], vectors(30), strict=True))
    check(gallery, content)
    assert gallery.kind is IndexKind.FLAT
    assert gallery.remove(["/g/3.jpg", "/g/4.jpg", "/nowhere.jpg"]) == 2
    del content["/g/3.jpg"], content["/g/4.jpg"]
    check(gallery, content)
    gallery.add([Entry("/g/5.jpg", 0, "2 2"), Entry("/g/new.jpg", 1, "1 1")], vectors(2, seed=5))
    content |= dict(zip(["/g/5.jpg", "/g/new.jpg"], vectors(2, seed=5), strict=True))
    check(gallery, content)
    gallery.save(tmp_path / "index")
    loaded = Gallery.load(tmp_path / "index")
    check(loaded, content)
    assert len(loaded) == 29
    assert loaded.entries == gallery.entries
    loaded.remove(list(content)[:20])
    for path in list(content)[:20]:
        del content[path]
    check(loaded, content)
    loaded.save(tmp_path / "index")
    check(Gallery.load(tmp_path / "index"), content)
    assert [path.name for path in tmp_path.iterdir()] == ["index"]
    assert len(list((tmp_path / "index").iterdir())) == 3


def test_gallery_that_is_large_forgets_and_takes_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Some hundred images, indexed as a million is."""
    monkeypatch.setattr(indexes, "FLAT_LIMIT", 300)
    gallery = filled(700)
    content = dict(zip([f"/g/{n}.jpg" for n in range(700)], vectors(700), strict=True))

    def recall(one: Gallery) -> float:
        queries, names = vectors(40, seed=9), list(content)
        products = queries @ np.stack(list(content.values())).T
        hits = 0
        for found, row in zip(one.search(queries, 5), products, strict=True):
            best = {names[n] for n in np.argsort(-row)[:5]}
            hits += len(best & {hit.path for hit in found})
            for hit in found:
                assert hit.similarity == pytest.approx(float(row[names.index(hit.path)]), abs=1e-5)
        return hits / 200

    assert recall(gallery) > 0.9
    assert gallery.kind is IndexKind.IVFPQ
    assert gallery.recall > 0.9
    gallery.remove([f"/g/{n}.jpg" for n in range(100)])
    gallery.add([Entry(f"/new/{n}.jpg", 0, "1 1") for n in range(50)], vectors(50, seed=4))
    for n in range(100):
        del content[f"/g/{n}.jpg"]
    content |= dict(zip([f"/new/{n}.jpg" for n in range(50)], vectors(50, seed=4), strict=True))
    assert recall(gallery) > 0.9
    gallery.save(tmp_path / "index")
    loaded = Gallery.load(tmp_path / "index")
    assert loaded.kind is IndexKind.IVFPQ
    assert recall(loaded) > 0.9
    # Small again, it is exact again.
    loaded.remove([f"/g/{n}.jpg" for n in range(100, 600)])
    for n in range(100, 600):
        del content[f"/g/{n}.jpg"]
    loaded.add([Entry("/last.jpg", 1, "1 1")], vectors(1, seed=8))
    content["/last.jpg"] = vectors(1, seed=8)[0]
    assert recall(loaded) == 1
    assert loaded.kind is IndexKind.FLAT


def test_gallery_save_never_replaces_other_things(tmp_path: Path) -> None:
    photos, file, empty = tmp_path / "photos", tmp_path / "file", tmp_path / "empty"
    photos.mkdir()
    (photos / "1.jpg").write_bytes(b"a picture")
    file.write_text("text")
    empty.mkdir()
    for place in (photos, file):
        with pytest.raises(DataError, match="exists and is not a gallery; refusing to overwrite it"):
            filled(8).save(place)
    assert (photos / "1.jpg").read_bytes() == b"a picture"
    assert file.read_text() == "text"
    filled(8).save(empty)
    assert len(Gallery.load(empty)) == 8


def test_gallery_with_wrong_vectors_or_none_is_one_error() -> None:
    gallery = filled()
    with pytest.raises(DataError, match=r"queries must be \(Q, 16\)"):
        gallery.search(np.zeros((2, 3), np.float32))
    with pytest.raises(DataError, match=r"vectors must be \(1, 16\) for this gallery; got \(1, 3\)"):
        gallery.add([Entry("/a", 0, "")], np.zeros((1, 3), np.float32))
    gallery.remove([f"/g/{n}.jpg" for n in range(30)])
    with pytest.raises(DataError, match="the gallery is empty"):
        gallery.search(vectors(1))
    assert len(filled(3).search(vectors(1), top=10)[0]) == 3
    assert gallery.kind is IndexKind.FLAT


def change(**values: Any) -> Callable[[Path], None]:
    """Change values of a gallery's note."""

    def do(folder: Path) -> None:
        note = json.loads((folder / "gallery.json").read_text())
        (folder / "gallery.json").write_text(json.dumps(note | values))

    return do


def change_vectors(*values: float) -> Callable[[Path], None]:
    """Change the first numbers of the second vector, as a gallery of an earlier commit, which has no digests."""

    def do(folder: Path) -> None:
        change(digests={})(folder)
        found = np.load(folder / "vectors.npy")
        found[1, : len(values)] = values
        np.save(folder / "vectors.npy", found)

    return do


def flip(name: str) -> Callable[[Path], None]:
    """Change the last byte of a file."""

    def do(folder: Path) -> None:
        content = bytearray((folder / name).read_bytes())
        content[-1] ^= 1
        (folder / name).write_bytes(content)

    return do


def cut(name: str) -> Callable[[Path], None]:
    return lambda folder: (folder / name).write_bytes((folder / name).read_bytes()[:-50]) and None


def twice(folder: Path) -> None:
    note = json.loads((folder / "gallery.json").read_text())
    change(entries=[note["entries"][1], *note["entries"][1:]])(folder)


DAMAGES = {
    "no table": (lambda folder: (folder / "gallery.json").write_text("[]"), "holds no table"),
    "torn": (lambda folder: (folder / "gallery.json").write_text('{"width": 16'), "line 1"),
    "deep": (lambda folder: (folder / "gallery.json").write_text("[" * 100_000), "recursion"),
    "no kind": (lambda folder: (folder / "gallery.json").write_text("{}"), "lacks 'kind'"),
    "cut vectors": (cut("vectors.npy"), "vectors.npy is cut off"),
    "other digest": (flip("vectors.npy"), "vectors.npy has another digest"),
    "no vectors": (lambda folder: (folder / "vectors.npy").unlink(), "'vectors.npy': No such file"),
    "pickle": (lambda folder: np.save(folder / "vectors.npy", np.array([{}])), "holds object"),
    "other version": (change(version=-1), "names version -1"),
    "fewer": (change(numbers=[0, 1]), "2 images of 16 numbers, but vectors.npy holds"),
    "other width": (change(width=8), "12 images of 8 numbers"),
    "huge": (change(width=10**12), "numbers, but vectors.npy holds"),
    "NaN": (change_vectors(float("nan")), "vector 1 has length nan; 1 of 12"),
    "infinite": (change_vectors(float("inf")), "vector 1 has length inf"),
    "zero": (change_vectors(*[0] * 16), "vector 1 has length 0"),
    "long": (change_vectors(5), "vector 1 has length 5"),
    "negative number": (change(numbers=[-1, *range(1, 12)]), "numbers holds -1"),
    "number twice": (change(numbers=[0, 0, *range(2, 12)]), "numbers do not ascend"),
    "small next_number": (change(next_number=3), "next_number is 3, but 11 is in use"),
    "text": (change(numbers=["0", *range(1, 12)]), "numbers holds '0'"),
    "entries": (change(entries=[]), "0 images, but 12 numbers"),
    "modality": (change(entries=[{"path": "/a", "modality": 2, "stamp": ""}] * 12), "'/a' has modality 2"),
    "twice": (twice, "an image is listed twice"),
    "recall": (change(**{"recall@10": float("nan")}), "recall@10 is nan"),
    "kind": (change(kind="tree"), "'gallery.faiss': No such file"),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_gallery_load_of_damage_names_it(damage: str, tmp_path: Path) -> None:
    filled(12).save(tmp_path / "index")
    harm, said = DAMAGES[damage]
    harm(tmp_path / "index")
    with pytest.raises(DataError, match=rf"index' is damaged \(.*{re.escape(said)}.*index the images again"):
        Gallery.load(tmp_path / "index")


LARGE_DAMAGES = {
    "cut": (cut("gallery.faiss"), "gallery.faiss has another digest"),
    "cut, no digest": (lambda f: (cut("gallery.faiss")(f), change(digests={})(f)), "faiss index cannot be read"),
    "others": (change(numbers=[*range(1, 401)], next_number=401), "holds 400 other images than the 400"),
}


@pytest.mark.parametrize("damage", LARGE_DAMAGES)
def test_gallery_load_of_a_damaged_faiss_index_names_it(
    damage: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(indexes, "FLAT_LIMIT", 300)
    filled(400).save(tmp_path / "index")
    harm, said = LARGE_DAMAGES[damage]
    harm(tmp_path / "index")
    with pytest.raises(DataError, match=rf"index' is damaged \(.*{re.escape(said)}"):
        Gallery.load(tmp_path / "index")


def test_gallery_of_vectors_that_are_no_directions_is_one_error() -> None:
    gallery = filled()
    for value in (np.nan, np.inf, 0, 3):
        with pytest.raises(DataError, match=r"vectors must have length 1 \(L2-normalized\): vector 0 has length"):
            gallery.add([Entry("/a", 0, "")], np.full((1, WIDTH), value, np.float32))
        with pytest.raises(DataError, match="queries must have length 1"):
            gallery.search(np.full((1, WIDTH), value, np.float32))
    with pytest.raises(DataError, match="two of the images have the same path"):
        gallery.add([Entry("/a", 0, "")] * 2, vectors(2))


def test_gallery_hits_have_cosines_of_at_most_1() -> None:
    gallery = Gallery(WIDTH, {})
    longer = vectors(50) * np.float32(1 + 1e-6)
    gallery.add([Entry(f"/{n}", 0, "") for n in range(50)], longer)
    best = [hits[0].similarity for hits in gallery.search(longer, 1)]
    assert max(best) == 1
    assert min(best) > 0.999


def test_gallery_load_of_an_earlier_commit_gives_images_one_spelling(tmp_path: Path) -> None:
    """Its note has no version, digests, place or folders, and a folder may be listed under several spellings."""
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to("real")
    spellings = ["real/1.jpg", "link/1.jpg", "x/../real/1.jpg", "real/2.jpg"]
    gallery = Gallery(WIDTH, {})
    gallery.add([Entry(f"{tmp_path}/{name}", 0, "") for name in spellings], vectors(4))
    gallery.save(tmp_path / "index")
    note = json.loads((tmp_path / "index" / "gallery.json").read_text())
    for key in ("version", "digests", "place", "folders"):
        del note[key]
    (tmp_path / "index" / "gallery.json").write_text(json.dumps(note))
    (tmp_path / "index" / ".lock").unlink()
    loaded = Gallery.load(tmp_path / "index")
    assert {entry.path for entry in loaded.entries.values()} == {f"{tmp_path}/real/{n}.jpg" for n in (1, 2)}
    # Of several, the newest.
    assert loaded.search(vectors(4)[2:3], 1)[0][0].similarity == pytest.approx(1)
    loaded.save(tmp_path / "index")
    assert len(Gallery.load(tmp_path / "index")) == 2


def test_gallery_load_finds_images_that_moved_with_it(tmp_path: Path) -> None:
    (tmp_path / "old" / "images").mkdir(parents=True)
    gallery = Gallery(WIDTH, {})
    gallery.add([Entry(f"{tmp_path}/old/images/1.jpg", 0, ""), Entry("/elsewhere/2.jpg", 0, "")], vectors(2))
    gallery.folders = {f"{tmp_path}/old/images": [f"{tmp_path}/old/images"]}
    gallery.save(tmp_path / "old" / "index")
    (tmp_path / "old").rename(tmp_path / "new")
    loaded = Gallery.load(tmp_path / "new" / "index")
    assert [entry.path for entry in loaded.entries.values()] == [f"{tmp_path}/new/images/1.jpg", "/elsewhere/2.jpg"]
    assert loaded.folders == {f"{tmp_path}/new/images": [f"{tmp_path}/new/images"]}
