"""What is found in folders that somebody keeps."""

import os
from collections import Counter
from pathlib import Path

import pytest

from vireid_plugins.errors import DataError
from vireid_plugins.search import images as module
from vireid_plugins.search.images import find_images


def lay(root: Path, *names: str) -> None:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()


def names(root: Path) -> list[str]:
    return [str(image.file.relative_to(root)) for image in find_images(root).images]


def test_find_images_goes_by_endings_and_counts_the_others(tmp_path: Path) -> None:
    lay(tmp_path, "a/2.JPG", "a/b/1.png", "a/3.pgm", "a/notes.txt", "a/1.gif", "a/2.gif", "README")
    found = find_images(tmp_path)
    assert [image.file.name for image in found.images] == ["2.JPG", "3.pgm", "1.png"]
    assert found.left_out == Counter({".gif": 2, ".txt": 1, "without an ending": 1})
    assert module.listed(found.left_out) == "2 .gif, 1 .txt, 1 without an ending"
    assert [image.file for image in find_images(tmp_path / "a" / "2.JPG").images] == [tmp_path / "a" / "2.JPG"]


def test_find_images_passes_over_hidden_files_files_of_systems_and_galleries(tmp_path: Path) -> None:
    lay(tmp_path, "1.jpg", "._1.jpg", "Thumbs.db", ".cache/1.jpg", "@eaDir/1.jpg", "__MACOSX/1.jpg", "desktop.ini")
    lay(tmp_path, "people.index/gallery.db", "people.index/segment.1.npy", "people.index/1.jpg")
    lay(tmp_path, "earlier.index/gallery.json", "earlier.index/vectors.npy", "earlier.index/1.jpg")
    assert names(tmp_path) == ["1.jpg"]
    assert not find_images(tmp_path).left_out


def test_find_images_in_nothing_is_one_error(tmp_path: Path) -> None:
    lay(tmp_path, "gifs/1.gif")
    with pytest.raises(DataError, match=r"gifs' contains no image; images end in \.jpg.*; it has 1 \.gif"):
        find_images(tmp_path / "gifs")
    for place in ("nowhere", "gifs/1.gif/below"):
        with pytest.raises(DataError, match="does not exist; images end in"):
            find_images(tmp_path / place)
    (tmp_path / "loop").symlink_to("loop")
    with pytest.raises(DataError, match="loop' cannot be read: Too many levels of symbolic links"):
        find_images(tmp_path / "loop")


def test_find_images_follows_links_to_folders_each_once(tmp_path: Path) -> None:
    lay(tmp_path, "g/1.jpg", "g/sub/2.jpg", "h/3.jpg")
    for name, target in (("h", "../h"), ("again", "../h"), ("a_sub", "sub"), ("loop", "."), ("up", "..")):
        (tmp_path / "g" / name).symlink_to(target)
    (tmp_path / "h" / "back").symlink_to("../g")
    found = find_images(tmp_path / "g")
    assert sorted(image.path for image in found.images) == [
        f"{tmp_path}/{name}" for name in ("g/1.jpg", "g/sub/2.jpg", "h/3.jpg")
    ]
    assert names(tmp_path / "g") == ["1.jpg", "again/3.jpg", "sub/2.jpg"]
    assert not found.unread
    assert found.tops == [f"{tmp_path}/g", f"{tmp_path}/h", str(tmp_path)]


@pytest.mark.parametrize("spelling", ["g", "x/../g", "link", "g/", "./g/../g", "link/../g"])
def test_find_images_gives_every_spelling_the_same_paths(
    spelling: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lay(tmp_path, "g/1.jpg", "g/sub/2.jpg", "x/3.txt")
    (tmp_path / "link").symlink_to("g")
    monkeypatch.chdir(tmp_path)
    assert [image.path for image in find_images(Path(spelling)).images] == [
        f"{tmp_path}/g/1.jpg",
        f"{tmp_path}/g/sub/2.jpg",
    ]


def test_find_images_takes_an_image_with_several_links_once(tmp_path: Path) -> None:
    lay(tmp_path, "g/1.jpg", "store/ab12")
    for name, target in (("0.jpg", "1.jpg"), ("5.jpg", "../store/ab12"), ("6.jpg", "../store/ab12")):
        (tmp_path / "g" / name).symlink_to(target)
    assert names(tmp_path / "g") == ["1.jpg", "5.jpg"]


def test_find_images_names_what_cannot_be_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lay(tmp_path, "1.jpg", "shut/2.jpg")
    (tmp_path / "gone.jpg").symlink_to("/nowhere.jpg")
    (tmp_path / "camera").symlink_to("/nowhere")
    (tmp_path / "gone.txt").symlink_to("/nowhere.txt")
    (tmp_path / "folder.jpg").mkdir()
    os.mkfifo(tmp_path / "pipe.png")
    real = os.scandir

    def scandir(folder: Path) -> object:
        if folder.name == "shut":
            raise PermissionError(13, "Permission denied", str(folder))
        return real(folder)

    monkeypatch.setattr(module.os, "scandir", scandir)
    found = find_images(tmp_path)
    assert [image.file.name for image in found.images] == ["1.jpg"]
    assert [str(one).removeprefix(f"'{tmp_path}/") for one in found.unread] == [
        "camera' cannot be read: it is a link to '/nowhere', which does not exist",
        "gone.jpg' cannot be read: it is a link to '/nowhere.jpg', which does not exist",
        "pipe.png' cannot be read: it is no regular file",
        "shut' cannot be read: Permission denied",
    ]
    assert found.left_out == {".txt": 1}
    with pytest.raises(DataError, match="shut' cannot be read: Permission denied"):
        find_images(tmp_path / "shut")
