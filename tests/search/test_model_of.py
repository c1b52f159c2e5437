"""The model that made a gallery is found again, or refused."""

import shutil
from pathlib import Path

import pytest
from galleries import paint
from helpers import small_cfg

from vireid_plugins.errors import DataError
from vireid_plugins.search import Extractor, Gallery, model_of
from vireid_plugins.search.indexing import index_images
from vireid_plugins.search.model_of import digest_of, extractor_of, weights_of


def test_extractor_of_a_gallery_finds_weights_that_moved_and_the_device_there_is(trained: Path, tmp_path: Path) -> None:
    """Also where the gallery was made on a device that this machine lacks."""
    (tmp_path / "old" / "run").mkdir(parents=True)
    shutil.copy(trained / "model_final.pth", tmp_path / "old" / "run" / "w.pth")
    paint(tmp_path / "g", "1.jpg")
    weights = str(tmp_path / "old" / "run" / "w.pth")
    made = Extractor(small_cfg("SYSU/wrim.yml", "MODEL.WEIGHTS", weights))
    index_images(made, tmp_path / "g", tmp_path / "old" / "index", "visible")
    with Gallery.load(tmp_path / "old" / "index") as gallery:
        config = gallery.made_by["config"].replace("DEVICE: cpu", "DEVICE: cuda:63")
        gallery.keep({**gallery.made_by, "config": config}, gallery.folders)
    (tmp_path / "old").rename(tmp_path / "new")
    gallery = Gallery.load(tmp_path / "new" / "index")
    place = tmp_path / "new" / "run" / "w.pth"
    found = extractor_of(gallery)
    assert (found.weights, found.cfg.MODEL.DEVICE) == (place, "cpu")
    # Beside the gallery, and inside it.
    for new in ("new/w.pth", "new/index/w.pth"):
        place = place.rename(tmp_path / new)
        assert weights_of(gallery) == place
    place.rename(tmp_path / "other.pth")
    with pytest.raises(DataError, match="which no longer exist; if they have moved, name their file: --weights FILE"):
        extractor_of(gallery)
    assert weights_of(gallery, str(tmp_path / "other.pth")) == tmp_path / "other.pth"


@pytest.mark.parametrize("decay", [0.0, 0.9])
def test_extractor_of_a_gallery_of_an_earlier_commit_takes_the_weights_it_was_made_with(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, decay: float
) -> None:
    (tmp_path / "w.pth").write_bytes(b"")
    config = f"SOLVER:\n  EMA_DECAY: {decay}\n"
    note = {"weights": str(tmp_path / "w.pth"), "sha256": digest_of(tmp_path / "w.pth"), "config": config}
    monkeypatch.setattr(model_of, "Extractor", lambda cfg: cfg.MODEL.WEIGHTS_AVERAGED)
    with Gallery.create(tmp_path / "index", 4, note) as gallery:
        assert extractor_of(gallery) is (decay > 0)
    note["config"] += "MODEL:\n  WEIGHTS_AVERAGED: True\n"
    with Gallery.create(tmp_path / "other", 4, note) as gallery:
        assert extractor_of(gallery) is True


def test_weights_of_a_gallery_that_does_not_name_its_model_says_what_it_lacks(tmp_path: Path) -> None:
    for made_by in ({}, {"weights": 3}):
        with (
            Gallery.create(tmp_path / str(len(made_by)), 4, made_by) as gallery,
            pytest.raises(DataError, match="which model made it: it lacks 'weights'; index the images again"),
        ):
            weights_of(gallery)


def test_digest_of_weights_that_cannot_be_read_names_them(tmp_path: Path) -> None:
    (tmp_path / "w.pth").mkdir()
    with pytest.raises(DataError, match=r"the weights '.*w\.pth' cannot be read: it is a folder, not a file"):
        digest_of(tmp_path / "w.pth")
