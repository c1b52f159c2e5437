from pathlib import Path

import pytest

from vireid_plugins.io.walk import folders_below


def test_folders_below_yields_each_folder_once_and_links_last(tmp_path: Path) -> None:
    top = tmp_path / "top"
    (top / "b" / "inner").mkdir(parents=True)
    (top / ".hidden").mkdir()
    (tmp_path / "elsewhere" / "c").mkdir(parents=True)
    (top / "a").symlink_to(top / "b")
    (top / "b" / "loop").symlink_to(top)
    (top / "z").symlink_to(tmp_path / "elsewhere")
    names = [place.relative_to(top).as_posix() for place in folders_below(top, lambda name: name.startswith("."))]
    assert names == [".", "b", "b/inner", "z", "z/c"]


def test_folders_below_of_what_cannot_be_read_raises(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        list(folders_below(tmp_path / "missing"))
