import json
from pathlib import Path

import numpy as np
import pytest

from vireid_plugins.errors import ConfigError, DataError
from vireid_plugins.search import Gallery, IndexKind
from vireid_plugins.search import gallery as module
from vireid_plugins.search import index as indexes
from vireid_plugins.search.gallery import Entry, image_files

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


def test_gallery_with_an_interrupted_save_leaves_the_old_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    filled(8).save(tmp_path / "index")
    bigger = filled(20)
    monkeypatch.setattr(module, "write_json", lambda *_: (_ for _ in ()).throw(OSError(28, "No space left")))
    with pytest.raises(ConfigError, match="index' cannot be written: No space left"):
        bigger.save(tmp_path / "index")
    monkeypatch.undo()
    assert len(Gallery.load(tmp_path / "index")) == 8
    # Also between the two renames.
    (tmp_path / "index").rename(tmp_path / "index.former")
    assert len(Gallery.load(tmp_path / "index")) == 8
    assert not (tmp_path / "index.former").exists()


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


def test_gallery_load_of_damage_names_it(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="is not a gallery; create one"):
        Gallery.load(tmp_path / "none")
    for damage in ("json", "vectors", "rows"):
        folder = tmp_path / damage
        filled().save(folder)
        if damage == "json":
            (folder / "gallery.json").write_text('{"width": 16')
        elif damage == "vectors":
            (folder / "vectors.npy").write_bytes((folder / "vectors.npy").read_bytes()[:-50])
        else:
            note = json.loads((folder / "gallery.json").read_text())
            note["entries"].pop(), note["numbers"].pop()
            (folder / "gallery.json").write_text(json.dumps(note))
        with pytest.raises(DataError, match=r"is damaged.*index the images again"):
            Gallery.load(folder)


def test_image_files_are_found_by_their_endings(tmp_path: Path) -> None:
    (tmp_path / "a" / "b").mkdir(parents=True)
    for name in ("a/2.JPG", "a/b/1.png", "a/notes.txt"):
        (tmp_path / name).touch()
    assert [file.name for file in image_files(tmp_path)] == ["2.JPG", "1.png"]
    assert image_files(tmp_path / "a" / "2.JPG") == [tmp_path / "a" / "2.JPG"]
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match=r"'.*empty' contains no image; images end in \.jpg"):
        image_files(tmp_path / "empty")
    with pytest.raises(DataError, match="does not exist"):
        image_files(tmp_path / "nowhere")
