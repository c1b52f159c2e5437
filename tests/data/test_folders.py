import os
from pathlib import Path

import pytest

from vireid_plugins.data.datasets.folders import ListedImages, exists, image_names, without_suffix
from vireid_plugins.errors import DataError

LEFT = ["Thumbs.db", ".DS_Store", "desktop.ini", "._0001.jpg", ".hidden.png", "notes.txt", "a.gif", "THUMBS.DB"]


def test_image_names_takes_every_suffix_in_any_case_and_passes_over_the_rest(tmp_path: Path) -> None:
    images = ["1.jpg", "2.JPG", "3.jpeg", "4.Png", "5.bmp"]
    for name in [*images, *LEFT]:
        (tmp_path / name).write_bytes(b"")
    for folder in ("@eaDir", "folder.jpg"):
        (tmp_path / folder).mkdir()
    (tmp_path / "6.jpg").symlink_to("gone.jpg")  # reading it is an error, so it is not passed over
    assert image_names(tmp_path) == [*images, "6.jpg"]
    assert image_names(tmp_path / "nowhere") == []


def test_image_names_of_two_suffixes_names_both(tmp_path: Path) -> None:
    for name in ("1.jpg", "1.PNG"):
        (tmp_path / name).write_bytes(b"")
    with pytest.raises(DataError, match=r"'1\.PNG' and '1\.jpg' differ only in their suffix"):
        image_names(tmp_path)


def refuse(*_: object, **__: object) -> None:
    raise PermissionError(13, os.strerror(13))


def test_image_names_and_exists_of_what_cannot_be_read_name_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "scandir", refuse)
    monkeypatch.setattr(Path, "stat", refuse)
    with pytest.raises(DataError, match=f"'{tmp_path}' cannot be read: Permission denied"):
        image_names(tmp_path)
    with pytest.raises(DataError, match=f"'{tmp_path}' cannot be read: Permission denied"):
        exists(tmp_path)


def test_listed_images_are_found_under_another_suffix_and_folders_are_read_once() -> None:
    asked = []

    def names(folder: str) -> list[str]:
        asked.append(folder)
        return ["1.PNG", "2.v1.jpg"]

    images = ListedImages(names)
    assert [images.on_disk(path) for path in ("a/1.bmp", "a/2.v1.bmp", "a/3.bmp")] == [
        "a/1.PNG",
        "a/2.v1.jpg",
        "a/3.bmp",
    ]
    assert asked == ["a"]
    assert without_suffix("a.b/c.v1") == "a.b/c.v1"
