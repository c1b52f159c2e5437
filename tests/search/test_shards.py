"""Several processes that index together give the index of a single one."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from galleries import Colors, names_in, paint
from helpers import HANG, ROOT, SMALL_FRESH, small_cfg

from vireid_plugins.engine import Trainer
from vireid_plugins.errors import ConfigError, DataError
from vireid_plugins.search import Gallery
from vireid_plugins.search.engines import Kind
from vireid_plugins.search.engines.milvus_place import Place
from vireid_plugins.search.gallery_folder import SHARDS
from vireid_plugins.search.indexing import Indexed, index_images, remove_images
from vireid_plugins.search.model_of import made_by
from vireid_plugins.search.shards import Share, index_share, opened_shards

NAMES = [f"{number}.jpg" for number in range(7)]


@pytest.fixture
def colors(tmp_path: Path) -> Any:
    return Colors(tmp_path / "weights.pth")


def share(colors: Any, folder: Path, rank: int, processes: int = 2) -> Indexed:
    return index_share(Share(rank, processes, rank), colors, folder, folder.parent / "index", "visible")


def merged(colors: Any, folder: Path) -> Indexed:
    target = folder.parent / "index"
    with opened_shards(target, made_by(colors)) as shards:
        return index_images(colors, folder, target, "visible", shards=shards)


def content(target: Path) -> tuple[list[str], np.ndarray]:
    with Gallery.load(target) as gallery:
        keys = [one.key for one in gallery.records()]
        return keys, gallery.engine.vectors(keys)


def test_shards_together_equal_the_index_of_one_process(colors: Any, tmp_path: Path) -> None:
    paint(tmp_path / "g", *NAMES)
    index_images(colors, tmp_path / "g", tmp_path / "alone", "visible")
    done = [share(colors, tmp_path / "g", rank).counts["added"] for rank in range(2)]
    assert done == [4, 3]
    assert merged(colors, tmp_path / "g").counts == {"added": 7}
    keys, vectors = content(tmp_path / "alone")
    found, others = content(tmp_path / "index")
    assert found == keys
    np.testing.assert_allclose(others, vectors, rtol=0, atol=1e-6)
    assert not (tmp_path / "index" / SHARDS).exists()
    # The next call embeds nothing, in no process.
    assert [share(colors, tmp_path / "g", rank).counts["added"] for rank in range(2)] == [0, 0]
    assert merged(colors, tmp_path / "g").counts == {"unchanged": 7}


def test_shards_of_a_call_that_was_killed_are_used_by_the_next(
    colors: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The second process never wrote anything, and the next call has a single one."""
    paint(tmp_path / "g", *NAMES)
    share(colors, tmp_path / "g", 0)
    embedded = counted(colors, monkeypatch)
    share(colors, tmp_path / "g", 0)
    assert embedded == []
    merged(colors, tmp_path / "g")
    assert sum(embedded) == 3
    assert names_in(tmp_path / "index") == NAMES


def counted(colors: Any, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many images are embedded from now on, batch by batch."""
    embedded: list[int] = []
    features = colors.features

    def counting(pixels: Any, *rest: Any) -> Any:
        embedded.append(len(pixels))
        return features(pixels, *rest)

    monkeypatch.setattr(colors, "features", counting)
    return embedded


def test_shards_take_what_has_only_moved_from_the_index(
    colors: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    paint(tmp_path / "g", *NAMES)
    index_images(colors, tmp_path / "g", tmp_path / "index", "visible")
    (tmp_path / "g" / "0.jpg").rename(tmp_path / "g" / "new.jpg")
    embedded = counted(colors, monkeypatch)
    for rank in range(2):
        share(colors, tmp_path / "g", rank)
    assert merged(colors, tmp_path / "g").counts == {"copied": 1, "unchanged": 6, "removed": 1}
    assert embedded == []


def test_shards_are_refused_before_anything_is_embedded(
    colors: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """For an index of other weights, and for a database that one process opens."""
    paint(tmp_path / "g", *NAMES)
    index_images(colors, tmp_path / "g", tmp_path / "index", "visible")
    (tmp_path / "weights.pth").write_bytes(b"others")
    other: Any = Colors(tmp_path / "weights.pth")
    embedded = counted(other, monkeypatch)
    with pytest.raises(DataError, match="was made with other weights"):
        share(other, tmp_path / "g", 0)
    with pytest.raises(ConfigError, match="an embedded Milvus database is for one process"):
        index_share(Share(0, 2, 0), other, tmp_path / "g", tmp_path / "new", "visible", kind=Kind("milvus"))
    Place("collection", 3).write(tmp_path / "index")
    with pytest.raises(ConfigError, match="an embedded Milvus database is for one process"):
        Kind().require_several(tmp_path / "index")
    Kind(uri="http://host:19530").require_several(tmp_path / "new")
    assert embedded == []


def test_removing_images_removes_shards_that_were_left(colors: Any, tmp_path: Path) -> None:
    paint(tmp_path / "g", *NAMES)
    index_images(colors, tmp_path / "g", tmp_path / "index", "visible")
    paint(tmp_path / "g", "more.jpg", "further.jpg")
    share(colors, tmp_path / "g", 0)
    share(colors, tmp_path / "g", 1)
    assert list((tmp_path / "index" / SHARDS).iterdir())
    remove_images(tmp_path / "index", tmp_path / "g" / "0.jpg")
    assert not (tmp_path / "index" / SHARDS).exists()


def test_shards_of_other_weights_are_not_used(tmp_path: Path) -> None:
    paint(tmp_path / "g", *NAMES)
    (tmp_path / "other").mkdir()
    share(Colors(tmp_path / "other" / "weights.pth"), tmp_path / "g", 0)
    (tmp_path / "weights.pth").write_bytes(b"others")
    colors: Any = Colors(tmp_path / "weights.pth")
    with opened_shards(tmp_path / "index", made_by(colors)) as shards:
        assert shards == []
        index_images(colors, tmp_path / "g", tmp_path / "index", "visible", shards=shards)
    assert names_in(tmp_path / "index") == NAMES


def test_shards_stay_if_the_index_cannot_be_written(colors: Any, tmp_path: Path) -> None:
    paint(tmp_path / "g", *NAMES)
    share(colors, tmp_path / "g", 0)
    with pytest.raises(DataError, match="stopped"), opened_shards(tmp_path / "index", made_by(colors)):
        raise DataError("stopped")
    assert len(list((tmp_path / "index" / SHARDS).iterdir())) == 1
    # The folder is still one that an index may be written to.
    assert merged(colors, tmp_path / "g").counts == {"added": 7}


def test_share_is_that_of_torchrun(monkeypatch: pytest.MonkeyPatch) -> None:
    assert Share.of_torchrun() is None
    for name, value in {"TORCHELASTIC_RUN_ID": "a", "RANK": "5", "WORLD_SIZE": "8", "LOCAL_RANK": "1"}.items():
        monkeypatch.setenv(name, value)
    assert Share.of_torchrun() == Share(5, 8, 1)
    monkeypatch.setenv("WORLD_SIZE", "1")
    assert Share.of_torchrun() is None
    monkeypatch.setenv("RANK", "x")
    with pytest.raises(ConfigError, match="start several processes with torchrun"):
        Share.of_torchrun()


@pytest.mark.slow
def test_index_by_torchrun_gives_the_index_of_one_process(tmp_path: Path) -> None:
    paint(tmp_path / "g", *NAMES)
    cfg = small_cfg("SYSU/one_stream.yml", *SMALL_FRESH, "OUTPUT_DIR", str(tmp_path / "run"))
    (tmp_path / "run").mkdir()
    torch.save({"model": Trainer.build_model(cfg).state_dict()}, tmp_path / "run" / "model_final.pth")
    (tmp_path / "run" / "config.yaml").write_text(cfg.dump())
    made_by_it = ["--config-file", "run/config.yaml", "--weights", "run/model_final.pth"]
    indexes = []
    for start in (["vireid_plugins"], ["torch.distributed.run", "--nproc_per_node", "2", "-m", "vireid_plugins"]):
        indexes.append(tmp_path / f"index {len(indexes)}")
        arguments = ["search", "index", str(tmp_path / "g"), "--index", str(indexes[-1])]
        command = [sys.executable, "-m", *start, *arguments, *made_by_it, "--modality", "visible"]
        environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
        subprocess.run(command, cwd=tmp_path, check=True, env=environment, timeout=HANG)
    (keys, vectors), (found, others) = (content(one) for one in indexes)
    assert found == keys
    np.testing.assert_allclose(others, vectors, rtol=0, atol=1e-5)
