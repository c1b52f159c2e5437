"""A gallery of Milvus is indexed, updated, searched, calibrated and moved as one of faiss."""

import shutil
from pathlib import Path

import pytest
from galleries import Colors, indexed, names_in, paint, records_in

from vireid_plugins.errors import ConfigError
from vireid_plugins.search import Gallery
from vireid_plugins.search.calibration import keep, thresholds_from, thresholds_of
from vireid_plugins.search.engines import Kind
from vireid_plugins.search.gallery_folder import writing
from vireid_plugins.search.indexing import index_images, remove_images
from vireid_plugins.search.querying import Wanted, query_images

pytest.importorskip("milvus_lite")
pytestmark = pytest.mark.slow


@pytest.fixture
def colors(tmp_path: Path) -> Colors:
    return Colors(tmp_path / "weights.pth")


def test_gallery_of_milvus_is_used_as_one_of_faiss(colors: Colors, tmp_path: Path) -> None:
    paint(tmp_path / "g", "1.jpg", "2.jpg", "sub/3.jpg", "4.jpg", "5.jpg")
    found = {}
    for engine in ("faiss", "milvus"):
        index = tmp_path / f"{engine}.index"
        assert index_images(colors, tmp_path / "g", index, "visible", kind=Kind(engine)).counts == {"added": 5}
        assert index_images(colors, tmp_path / "g", index, "visible").counts == {"unchanged": 5}
        with Gallery.load(index) as gallery:
            assert gallery.engine.name == engine
            results, _ = query_images(gallery, colors, tmp_path / "g", "visible", Wanted(3, "both"))
            keep(gallery, thresholds_from(results, len(gallery)))
        with Gallery.load(index) as gallery:
            found[engine] = records_in(index), results, thresholds_of(gallery), gallery.folders
        assert remove_images(index, tmp_path / "g" / "sub") == (1, 4)
        assert names_in(index) == ["1.jpg", "2.jpg", "4.jpg", "5.jpg"]
    assert found["faiss"] == found["milvus"]


def test_gallery_of_milvus_follows_its_images_and_notices_changes(colors: Colors, tmp_path: Path) -> None:
    paint(tmp_path / "a" / "g", "1.jpg", "2.jpg", "3.jpg")
    assert indexed(colors, tmp_path / "a" / "g", kind=Kind("milvus")).total == 3
    shutil.move(tmp_path / "a", tmp_path / "b")
    assert indexed(colors, tmp_path / "b" / "g").counts == {"unchanged": 3}
    (tmp_path / "b" / "g" / "1.jpg").rename(tmp_path / "b" / "g" / "4.jpg")
    (tmp_path / "b" / "g" / "2.jpg").unlink()
    assert indexed(colors, tmp_path / "b" / "g").counts == {"copied": 1, "removed": 2, "unchanged": 1}
    assert names_in(tmp_path / "b" / "index") == ["3.jpg", "4.jpg"]


def test_index_images_with_another_engine_than_the_gallery_has_is_an_error(colors: Colors, tmp_path: Path) -> None:
    paint(tmp_path / "g", "1.jpg")
    indexed(colors, tmp_path / "g", kind=Kind("milvus"))
    for kind, message in (
        (Kind("faiss"), r"--engine faiss: the gallery '.*index' has the engine milvus; leave it out"),
        (Kind(uri="http://host:1"), "--uri http://host:1: the gallery '.*index' has the engine milvus; leave it out"),
    ):
        with pytest.raises(ConfigError, match=message):
            indexed(colors, tmp_path / "g", kind=kind)


def test_folder_of_a_gallery_of_milvus_that_never_began_is_removed(tmp_path: Path) -> None:
    with writing(tmp_path / "index"):
        (tmp_path / "index" / "milvus.db" / "collections").mkdir(parents=True)
    assert not (tmp_path / "index").exists()
