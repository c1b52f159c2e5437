"""Folders as people keep them, indexed and updated: links, torn files, disks that are not mounted, interruptions."""

import copy
import os
import shutil
from pathlib import Path
from typing import Any

import pytest
from apart import apart
from galleries import Colors, indexed, names_in, paint, records_in
from helpers import small_cfg
from PIL import Image

from vireid_plugins.data.datasets import SYSUMM01
from vireid_plugins.errors import DataError
from vireid_plugins.search import Extractor, Gallery
from vireid_plugins.search import indexing as module
from vireid_plugins.search.gallery_folder import writing
from vireid_plugins.search.indexing import index_images, remove_images
from vireid_plugins.search.metadata import Metadata
from vireid_plugins.search.querying import Wanted, query_images


@pytest.fixture
def colors(tmp_path: Path) -> Any:
    return Colors(tmp_path / "weights.pth")


@pytest.fixture(scope="module")
def extractor(trained: Path) -> Extractor:
    return Extractor(small_cfg("SYSU/wrim.yml", "OUTPUT_DIR", str(trained)), batch=7)


def test_index_images_keeps_the_good_ones_and_names_the_bad_ones(colors: Any, tmp_path: Path) -> None:
    paint(tmp_path / "g", "1.jpg", "2.jpg", "3.jpg")
    (tmp_path / "g" / "0.jpg").touch()
    (tmp_path / "g" / "gone.jpg").symlink_to("/nowhere.jpg")
    (tmp_path / "g" / "notes.gif").touch()
    done = indexed(colors, tmp_path / "g")
    assert done.counts == {"added": 3}
    assert sorted(one.file.name for one in done.unread) == ["0.jpg", "gone.jpg"]
    assert done.left_out == {".gif": 1}
    assert names_in(tmp_path / "index") == ["1.jpg", "2.jpg", "3.jpg"]
    # An image that cannot be read any more is neither added nor removed.
    (tmp_path / "g" / "2.jpg").write_bytes(b"torn")
    assert indexed(colors, tmp_path / "g").counts["removed"] == 0
    assert names_in(tmp_path / "index") == ["1.jpg", "2.jpg", "3.jpg"]
    with Gallery.load(tmp_path / "index") as gallery:
        results, unread = query_images(gallery, colors, tmp_path / "g", "visible", Wanted(1))
    assert [Path(one.hits[0].path).name for one in results] == ["1.jpg", "3.jpg"]
    assert len(unread) == 3


def test_index_images_with_metadata_of_other_images_tells_which(colors: Any, tmp_path: Path) -> None:
    paint(tmp_path / "g", "1.jpg", "2.jpg")
    (tmp_path / "g" / "2.jpg").write_bytes(b"torn")
    (tmp_path / "facts.csv").write_text("file,camera\ng/1.jpg,1\ng/2.jpg,2\ng/3.jpg,3\n1.jpg,4\n")
    done = indexed(colors, tmp_path / "g", metadata=Metadata.read(tmp_path / "facts.csv"))
    assert done.unknown == [str(tmp_path / "1.jpg"), str(tmp_path / "g" / "3.jpg")]


def test_index_images_above_folders_of_crops_takes_the_facts_of_each(colors: Any, tmp_path: Path) -> None:
    paint(tmp_path / "g", "a/1.png", "b/1.png", "c.png")
    (tmp_path / "facts.csv").write_text("file,camera\ng/c.png,own\n")
    indexed(colors, tmp_path / "g", metadata=Metadata.read(tmp_path / "facts.csv"))
    for name in ("a", "b"):
        (tmp_path / "g" / name / "crops.csv").write_text(f"file,camera,track\n1.png,{name},street_7\n")
    done = indexed(colors, tmp_path / "g")
    assert (done.counts, done.unknown) == ({"described": 2, "unchanged": 1}, [])
    found = {Path(one.key).relative_to(tmp_path / "g"): one.camera for one in records_in(tmp_path / "index")}
    assert found == {Path("a/1.png"): "a", Path("b/1.png"): "b", Path("c.png"): "own"}


def test_index_images_of_bad_ones_alone_writes_nothing(colors: Any, tmp_path: Path) -> None:
    paint(tmp_path / "g", "1.jpg")
    (tmp_path / "g" / "1.jpg").write_bytes(b"")
    with pytest.raises(DataError, match=r"no image in '.*g' can be read: not read: '.*1\.jpg'"):
        indexed(colors, tmp_path / "g")
    assert not (tmp_path / "index").exists()


def test_index_images_of_one_folder_under_several_spellings_is_one(colors: Any, tmp_path: Path) -> None:
    paint(tmp_path / "k", "1.jpg", "2.jpg")
    (tmp_path / "x").mkdir()
    (tmp_path / "link").symlink_to("k")
    for spelling in ("k", "x/../k", "link"):
        index_images(colors, tmp_path / spelling, tmp_path / "index", "visible")
        assert names_in(tmp_path / "index") == ["1.jpg", "2.jpg"]
    (tmp_path / "k" / "1.jpg").unlink()
    assert index_images(colors, tmp_path / "link", tmp_path / "index", "visible").counts["removed"] == 1
    for spelling in ("x/../k", "link", "k/2.jpg", "link/2.jpg"):
        indexed(colors, tmp_path / "k")
        assert remove_images(tmp_path / "index", tmp_path / spelling)[0] == 1


def test_index_images_follows_links_and_notices_what_is_gone_behind_them(colors: Any, tmp_path: Path) -> None:
    paint(tmp_path, "g/1.jpg", "h/2.jpg", "h/sub/3.jpg")
    (tmp_path / "g" / "h").symlink_to("../h")
    assert indexed(colors, tmp_path / "g").total == 3
    shutil.rmtree(tmp_path / "h" / "sub")
    assert indexed(colors, tmp_path / "g").counts["removed"] == 1
    # The target of the link is gone, as when a disk is not mounted: its images stay.
    (tmp_path / "h").rename(tmp_path / "away")
    done = indexed(colors, tmp_path / "g")
    assert (done.counts["removed"], [one.file.name for one in done.unread]) == (0, ["h"])
    # As a folder on which nothing is mounted.
    (tmp_path / "h").mkdir()
    done = indexed(colors, tmp_path / "g")
    assert (done.counts["removed"], [one.reason for one in done.unread]) == (
        0,
        ["it is empty, but the gallery has 1 images from there; is it mounted?"],
    )
    (tmp_path / "h").rmdir()
    (tmp_path / "away").rename(tmp_path / "h")
    assert indexed(colors, tmp_path / "g").counts == {"unchanged": 2}
    # Without the link they are gone.
    (tmp_path / "g" / "h").unlink()
    assert indexed(colors, tmp_path / "g").counts["removed"] == 1


def test_index_images_of_a_folder_that_looks_unmounted_removes_nothing(
    colors: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    paint(tmp_path, "g/1.jpg", "g/sub/2.jpg")
    indexed(colors, tmp_path / "g")
    (tmp_path / "g").rename(tmp_path / "away")
    with pytest.raises(DataError, match=r"does not exist.*The gallery has 2 images from there, and they stay.*remove"):
        indexed(colors, tmp_path / "g")
    (tmp_path / "g").mkdir()
    with pytest.raises(DataError, match=r"contains no image.*The gallery has 2 images from there, and they stay"):
        indexed(colors, tmp_path / "g")
    (tmp_path / "g").rmdir()
    (tmp_path / "away").rename(tmp_path / "g")
    real = os.scandir

    def scandir(folder: Path | str) -> object:
        if Path(folder).name == "sub":
            raise PermissionError(13, "Permission denied", str(folder))
        return real(folder)

    monkeypatch.setattr(os, "scandir", scandir)
    done = indexed(colors, tmp_path / "g")
    assert (done.counts["removed"], [one.reason for one in done.unread]) == (0, ["Permission denied"])
    monkeypatch.undo()
    # The images have moved, and their gallery has not.
    (tmp_path / "g").rename(tmp_path / "elsewhere")
    assert indexed(colors, tmp_path / "elsewhere").moved == {f"{tmp_path}/g": 2}
    assert remove_images(tmp_path / "index", tmp_path / "g")[0] == 2
    assert names_in(tmp_path / "index") == ["1.jpg", "2.jpg"]


def test_index_images_that_is_interrupted_keeps_what_is_done(colors: Any, tmp_path: Path) -> None:
    paint(tmp_path / "g", *(f"{n}.jpg" for n in range(6)))

    def stop(done: int, total: int) -> None:
        if done == 4:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        index_images(colors, tmp_path / "g", tmp_path / "index", "visible", stop)
    assert names_in(tmp_path / "index") == ["0.jpg", "1.jpg", "2.jpg", "3.jpg"]
    assert indexed(colors, tmp_path / "g").counts == {"added": 2, "unchanged": 4}


def test_index_images_into_a_gallery_of_another_model_is_refused(colors: Any, tmp_path: Path) -> None:
    paint(tmp_path / "g", "1.jpg")
    indexed(colors, tmp_path / "g")
    other = Colors(tmp_path / "weights.pth", "INPUT.SIZE_TEST", "[96, 32]", "SOLVER.BASE_LR", "1.0")
    with pytest.raises(DataError, match=r"other keys, then -> now: INPUT.SIZE_TEST"):
        indexed(other, tmp_path / "g")
    with writing(tmp_path / "index"):
        assert index_images(
            Colors(tmp_path / "weights.pth", "SOLVER.BASE_LR", "1.0", "TEST.AQE.ENABLED", "True"),  # type: ignore[arg-type]
            tmp_path / "g",
            tmp_path / "index",
            "visible",
        ).counts == {"unchanged": 1}


def test_index_images_with_keys_that_change_the_features_is_refused(
    extractor: Extractor, tree: Path, tmp_path: Path
) -> None:
    """The vectors of one gallery are of one kind; averaged weights are in the same file as the others."""
    folder = tmp_path / "images"
    folder.mkdir()
    shutil.copy(SYSUMM01(root=str(tree)).gallery[0][0], folder)
    index_images(extractor, folder, tmp_path / "index", "visible")
    for key, value in {
        "INPUT.SIZE_TEST": "[96, 48]",
        "MODEL.WEIGHTS_AVERAGED": "False",
        "TEST.FLIP.ENABLED": str(not extractor.cfg.TEST.FLIP.ENABLED),
        "MODEL.HEADS.NECK_FEAT": "other",
    }.items():
        other = copy.copy(extractor)
        other.cfg = extractor.cfg.clone()
        other.cfg.merge_from_list([key, value])
        with pytest.raises(DataError, match=rf"index' was made with other keys, then -> now: {key}: .* -> .*use its k"):
            index_images(other, folder, tmp_path / "index", "visible")
    other.cfg = extractor.cfg.clone()
    other.cfg.merge_from_list(["OUTPUT_DIR", "elsewhere", "SOLVER.BASE_LR", "1.0", "TEST.PROTOCOLS", "[]"])
    index_images(other, folder, tmp_path / "index", "visible")


def test_index_images_of_moved_and_copied_ones_computes_nothing(
    colors: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    paint(tmp_path / "g", "a/1.jpg", "a/2.jpg")
    indexed(colors, tmp_path / "g")
    (tmp_path / "g" / "a").rename(tmp_path / "g" / "b")
    shutil.copy(tmp_path / "g/b/1.jpg", tmp_path / "g/copy.jpg")

    def computed(*_: object) -> None:
        raise AssertionError("an image was computed again")

    monkeypatch.setattr(colors, "features", computed)
    assert indexed(colors, tmp_path / "g").counts == {"copied": 3, "removed": 2}
    assert names_in(tmp_path / "index") == ["1.jpg", "2.jpg", "copy.jpg"]
    with Gallery.load(tmp_path / "index") as gallery:
        one, two, three = gallery.engine.vectors([record.key for record in gallery.records()])
    assert (one == three).all()
    assert (one != two).any()


def test_index_images_of_changed_metadata_computes_nothing(
    colors: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    paint(tmp_path / "g", "1.jpg", "2.jpg")
    indexed(colors, tmp_path / "g")
    (tmp_path / "facts.csv").write_text("file,camera,place\ng/1.jpg,c1,007\n")
    facts = Metadata.read(tmp_path / "facts.csv")
    monkeypatch.setattr(colors, "features", None)
    assert indexed(colors, tmp_path / "g", metadata=facts).counts == {"described": 1, "unchanged": 1}
    found = {Path(one.key).name: (one.camera, dict(one.extra)) for one in records_in(tmp_path / "index")}
    assert found == {"1.jpg": ("c1", {"place": "007"}), "2.jpg": ("", {})}
    # Without metadata nothing is forgotten.
    assert indexed(colors, tmp_path / "g").counts == {"unchanged": 2}


def index_until_death(folder: str) -> None:
    """Index what is in `folder`, and end after four images without any cleaning."""

    def die(done: int, total: int) -> None:
        if done == 4:
            os._exit(9)

    module.SAVED_IMAGES = 2
    root = Path(folder)
    index_images(Colors(root / "weights.pth"), root / "g", root / "index", "visible", die)


def test_index_images_that_is_killed_keeps_what_was_written(colors: Any, tmp_path: Path) -> None:
    paint(tmp_path / "g", *(f"{n}.jpg" for n in range(6)))
    ended = apart(index_until_death, tmp_path)
    assert ended.code == 9, ended.err
    assert names_in(tmp_path / "index") == ["0.jpg", "1.jpg", "2.jpg", "3.jpg"]
    assert indexed(colors, tmp_path / "g").counts == {"added": 2, "unchanged": 4}
    assert len(names_in(tmp_path / "index")) == 6


def test_index_images_without_links_follows_none(colors: Any, tmp_path: Path) -> None:
    paint(tmp_path, "g/1.jpg", "h/2.jpg")
    (tmp_path / "g" / "h").symlink_to("../h")
    assert indexed(colors, tmp_path / "g", links=False).total == 1
    assert indexed(colors, tmp_path / "g").total == 2


def test_index_images_with_a_modality_replaces_the_guess_and_keeps_the_rest(colors: Any, tmp_path: Path) -> None:
    (tmp_path / "g").mkdir()
    for number, color in enumerate([(90, 90, 90), (200, 20, 90)]):
        Image.new("RGB", (8, 8), color).save(tmp_path / "g" / f"{number}.png")
    (tmp_path / "facts.csv").write_text("file,camera\ng/0.png,north\ng/1.png,south\n")
    facts = Metadata.read(tmp_path / "facts.csv")
    folder, index = tmp_path / "g", tmp_path / "index"
    done = index_images(colors, folder, index, "auto", metadata=facts)
    assert done.unsure == [f"{folder / '1.png'}: indexed as visible"]
    assert index_images(colors, folder / "1.png", index, "infrared").counts == {"added": 1}
    assert index_images(colors, folder, index, "auto").counts == {"unchanged": 2}
    assert [(one.camera, one.modality) for one in records_in(index)] == [("north", 1), ("south", 1)]
