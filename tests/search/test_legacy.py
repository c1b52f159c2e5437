"""Galleries of earlier releases are converted as a whole, or refused with a reason."""

import json
import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from engine_cases import WIDTH, vectors

from vireid_plugins.errors import DataError
from vireid_plugins.search import Gallery, legacy


def write(folder: Path, paths: list[str], **values: Any) -> None:
    """Write what the first release wrote: no version, digests, place or folders."""
    folder.mkdir()
    count = len(paths)
    np.save(folder / "vectors.npy", vectors(count))
    entries = [{"path": path, "modality": n % 2, "stamp": "1 1"} for n, path in enumerate(paths)]
    note = {"width": WIDTH, "made_by": {"sha256": "x"}, "kind": "flat", "effort": 0, "recall@10": 1.0}
    note |= {"next_number": count, "numbers": list(range(count)), "entries": entries}
    (folder / "gallery.json").write_text(json.dumps(note | values))


def test_load_of_an_earlier_release_converts_it(tmp_path: Path) -> None:
    folders = {"/g": ["/g", "/h"]}
    write(tmp_path / "index", [f"/g/{n}.jpg" for n in range(12)], version=1, folders=folders, place=f"{tmp_path}/index")
    for _ in range(2):
        with Gallery.load(tmp_path / "index") as gallery:
            assert [(one.key, one.modality) for one in gallery.records()] == [(f"/g/{n}.jpg", n % 2) for n in range(12)]
            assert (gallery.made_by, gallery.folders) == ({"sha256": "x"}, folders)
            assert gallery.search(vectors(12)[5:6], 1)[0][0].path == "/g/5.jpg"
    assert sorted(file.name for file in (tmp_path / "index").iterdir()) == [".lock", "gallery.db", "segment.1.npy"]


def test_load_of_an_earlier_release_gives_images_one_spelling(tmp_path: Path) -> None:
    """A folder may be listed under several spellings; of several entries of an image the newest stays."""
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to("real")
    spellings = ["real/1.jpg", "link/1.jpg", "x/../real/1.jpg", "real/2.jpg"]
    write(tmp_path / "index", [f"{tmp_path}/{name}" for name in spellings])
    with Gallery.load(tmp_path / "index") as loaded:
        assert {one.key for one in loaded.records()} == {f"{tmp_path}/real/{n}.jpg" for n in (1, 2)}
        assert loaded.search(vectors(4)[2:3], 1)[0][0].cosine == pytest.approx(1)


def change(**values: Any) -> Callable[[Path], None]:
    """Change values of the note."""

    def do(folder: Path) -> None:
        note = json.loads((folder / "gallery.json").read_text())
        (folder / "gallery.json").write_text(json.dumps(note | values))

    return do


def change_vectors(*values: float) -> Callable[[Path], None]:
    """Change the first numbers of the second vector."""

    def do(folder: Path) -> None:
        found = np.load(folder / "vectors.npy")
        found[1, : len(values)] = values
        np.save(folder / "vectors.npy", found)

    return do


def cut(name: str) -> Callable[[Path], None]:
    return lambda folder: (folder / name).write_bytes((folder / name).read_bytes()[:-50]) and None


def twice(folder: Path) -> None:
    note = json.loads((folder / "gallery.json").read_text())
    change(entries=[note["entries"][1], *note["entries"][1:]])(folder)


def np_version(folder: Path) -> None:
    with (folder / "vectors.npy").open("wb") as stream:
        np.lib.format.write_array(stream, vectors(12), (2, 0))


DAMAGES = {
    "no table": (lambda folder: (folder / "gallery.json").write_text("[]"), "holds no table"),
    "torn": (lambda folder: (folder / "gallery.json").write_text('{"width": 16'), "line 1"),
    "deep": (lambda folder: (folder / "gallery.json").write_text("[" * 100_000), "recursion"),
    "empty": (lambda folder: (folder / "gallery.json").write_text("{}"), "lacks 'width'"),
    "cut vectors": (cut("vectors.npy"), "vectors.npy is cut off"),
    "other digest": (change(digests={"vectors": "0" * 64}), "vectors.npy has another digest"),
    "no vectors": (lambda folder: (folder / "vectors.npy").unlink(), "'vectors.npy': No such file"),
    "pickle": (lambda folder: np.save(folder / "vectors.npy", np.array([{}])), "holds object"),
    "other version": (change(version=-1), "names version -1"),
    "fewer": (change(numbers=[0, 1], entries=[]), "0 images, but 2 numbers"),
    "other width": (change(width=8), "12 images of 8 numbers"),
    "huge": (change(width=10**12), "numbers, but vectors.npy holds"),
    "NaN": (change_vectors(float("nan")), "vector 1 has length nan; 1 of 12"),
    "infinite": (change_vectors(float("inf")), "vector 1 has length inf"),
    "zero": (change_vectors(*[0] * 16), "vector 1 has length 0"),
    "long": (change_vectors(5), "vector 1 has length 5"),
    "negative number": (change(numbers=[-1, *range(1, 12)]), "numbers holds -1"),
    "number twice": (change(numbers=[0, 0, *range(2, 12)]), "numbers do not ascend"),
    "text": (change(numbers=["0", *range(1, 12)]), "numbers holds '0'"),
    "entries": (change(entries=[]), "0 images, but 12 numbers"),
    "modality": (change(entries=[{"path": "/a", "modality": 2, "stamp": ""}] * 12), "'/a' has modality 2"),
    "other npy": (np_version, "vectors.npy is not an .npy file of version 1.0"),
    "made_by": (change(made_by=["x"]), "made_by is not a table"),
    "place": (change(place=3, folders={}), "place or folders are no paths"),
    "folders": (change(place="/index", folders={"/g": [3]}), "place or folders are no paths"),
    "no path": (change(entries=[{"path": "", "modality": 0, "stamp": ""}] * 12), "an image has the path '' and"),
    "stamp": (change(entries=[{"path": "/a", "modality": 0, "stamp": 1}] * 12), "path '/a' and the stamp 1"),
    "twice": (twice, "an image is listed twice"),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_load_of_a_damaged_gallery_of_an_earlier_release_names_it(damage: str, tmp_path: Path) -> None:
    write(tmp_path / "index", [f"/g/{n}.jpg" for n in range(12)])
    harm, said = DAMAGES[damage]
    harm(tmp_path / "index")
    before = {file.name: file.read_bytes() for file in (tmp_path / "index").iterdir()}
    with pytest.raises(DataError, match=rf"index' is damaged \(.*{re.escape(said)}.*index the images again"):
        Gallery.load(tmp_path / "index")
    after = {file.name: file.read_bytes() for file in (tmp_path / "index").iterdir() if file.name != ".lock"}
    assert after == before


def test_load_of_what_is_no_regular_file_is_one_error(tmp_path: Path) -> None:
    write(tmp_path / "index", ["/g/1.jpg"])
    (tmp_path / "index" / "vectors.npy").unlink()
    os.mkfifo(tmp_path / "index" / "vectors.npy")
    with pytest.raises(DataError, match="it is a pipe, not a regular file"):
        Gallery.load(tmp_path / "index")


def test_load_of_a_folder_that_cannot_be_read_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path / "index", ["/g/1.jpg"])

    def denied(file: Path, *_: object) -> bytes:
        raise PermissionError(13, "Permission denied", str(file))

    monkeypatch.setattr(legacy, "read_bytes", denied)
    with pytest.raises(DataError, match=r"index' cannot be read: '.*gallery.json': Permission denied"):
        Gallery.load(tmp_path / "index")
