"""Fixtures: a desk that the tests share, and a desk of links to it for each test."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from desk import lay_desk, lay_whole_desk, signature


@pytest.fixture(scope="session")
def whole_desk(little_tree: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The shared desk; nothing was written on it in the end."""
    folder = tmp_path_factory.mktemp("whole_desk")
    lay_whole_desk(little_tree, folder)
    before = signature(folder), signature(little_tree)
    yield folder
    assert (signature(folder), signature(little_tree)) == before


@pytest.fixture
def desk(whole_desk: Path, tmp_path: Path) -> Path:
    """A desk of one's own."""
    folder = tmp_path / "desk"
    folder.mkdir()
    lay_desk(whole_desk, folder)
    return folder
