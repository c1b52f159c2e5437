import hashlib
import json
from pathlib import Path

import numpy as np
import pytest
from conftest import TREE
from PIL import Image

from vireid_plugins.data.datasets import LLCM, SYSUMM01, RegDB
from vireid_plugins.data.synthetic import LAYOUTS, LlcmSize, RegdbSize, SysuSize, write_sysu
from vireid_plugins.data.synthetic.person import REGIONS, SKIN, draw_person
from vireid_plugins.errors import DataError
from vireid_plugins.evaluation import evaluate_protocol


def digest(folder: Path) -> str:
    files = sorted(file for file in folder.rglob("*") if file.is_file() and file.suffix != ".mat")
    return hashlib.sha256(b"".join(str(f.relative_to(folder)).encode() + f.read_bytes() for f in files)).hexdigest()


@pytest.mark.parametrize(
    "size",
    [
        SysuSize(train=3, val=1, test=2, images=2, height=48, width=24),
        RegdbSize(identities=6, images=2, height=48, width=24),
        LlcmSize(train=3, test=3, images=2, height=48, width=24),
    ],
)
def test_synthetic_tree_of_the_same_seed_is_the_same_whatever_the_workers(tmp_path: Path, size: object) -> None:
    (write,) = (layout.write for layout in LAYOUTS.values() if layout.size is type(size))
    write(tmp_path / "a", size, seed=1, workers=1)
    write(tmp_path / "b", size, seed=1, workers=2)
    write(tmp_path / "c", size, seed=2, workers=2)
    assert digest(tmp_path / "a") == digest(tmp_path / "b") != digest(tmp_path / "c")


def test_synthetic_tree_has_a_manifest_that_counts_its_files(tree: Path) -> None:
    folder = tree / "SYSU-MM01"
    manifest = json.loads((folder / "synthetic.json").read_text())
    assert manifest["complete"]
    assert len(list(folder.glob("cam*/*/*.jpg"))) == manifest["images"]
    assert (
        sum(count["images"] for name, count in manifest["census"].items() if "camera" not in name) == manifest["images"]
    )
    assert manifest["census"] == SYSUMM01(root=str(tree)).census()


def test_synthetic_tree_has_visible_images_in_colour_and_infrared_gray(tree: Path) -> None:
    for dataset in (SYSUMM01(root=str(tree)), RegDB(root=str(tree)), LLCM(root=str(tree))):
        for items in (dataset.train, dataset.query, dataset.gallery):
            with Image.open(items[0][0]) as image:
                assert image.mode == ("L" if dataset.modality(items[0]) else "RGB")
                assert image.size == (TREE.width, TREE.height)
                assert image.format == ("BMP" if isinstance(dataset, RegDB) else "JPEG")


def test_write_sysu_replaces_a_larger_tree_and_never_touches_foreign_files(tmp_path: Path) -> None:
    folder = tmp_path / "SYSU-MM01"
    write_sysu(folder, SysuSize(train=3, val=1, test=1, images=3, height=24, width=12), workers=1)
    write_sysu(folder, SysuSize(train=2, val=1, test=1, images=1, height=24, width=12), workers=1)
    assert {file.name for file in folder.glob("cam*/*/*")} == {"0001.jpg"}
    foreign = tmp_path / "real"
    foreign.mkdir()
    (foreign / "photo.jpg").write_bytes(b"irreplaceable")
    with pytest.raises(DataError, match="not empty and not a synthetic tree"):
        write_sysu(foreign, SysuSize(train=1, val=1, test=1))
    assert (foreign / "photo.jpg").read_bytes() == b"irreplaceable"


def test_draw_person_takes_from_colour_the_order_in_a_garment_alone() -> None:
    people = [draw_person(np.random.default_rng(seed)) for seed in range(300)]
    luma = np.stack([p.visible @ (0.299, 0.587, 0.114) for p in people])
    infrared = np.stack([p.infrared for p in people])
    clothes = [region for region in range(REGIONS) if region != SKIN]
    for region in clothes:
        first, second = 2 * region, 2 * region + 1
        brighter_visible, brighter_infrared = luma[:, first] > luma[:, second], infrared[:, first] > infrared[:, second]
        assert (brighter_visible == brighter_infrared).mean() > 0.95
        mean_luma, mean_infrared = luma[:, [first, second]].mean(1), infrared[:, [first, second]].mean(1)
        assert abs(np.corrcoef(mean_luma, mean_infrared)[0, 1]) < 0.2


def test_synthetic_tree_searched_by_colour_alone_scores_near_chance(tmp_path: Path) -> None:
    """Nearest neighbour on mean colour stays under twice chance."""
    write_sysu(tmp_path / "SYSU-MM01", SysuSize(train=1, val=1, test=64, images=3, height=72, width=32))
    dataset = SYSUMM01(root=str(tmp_path))
    paths = [path for path, _, _ in (*dataset.query, *dataset.gallery)]
    names = [str(Path(path).relative_to(dataset.folder)) for path in paths]
    colours = np.stack([np.asarray(Image.open(path).convert("RGB")).mean((0, 1)) for path in paths])
    # Cosine is scored, so the three means are set beside a constant: near in angle is then near in colour.
    features = np.concatenate([colours, np.full((len(colours), 1), 1000.0)], axis=1)
    chance = [
        evaluate_protocol(
            np.random.default_rng(s).standard_normal((len(paths), 64)), names, "sysu/official/all/1shot", tmp_path
        ).means["Rank-1"]
        for s in range(5)
    ]
    colour = evaluate_protocol(features, names, "sysu/official/all/1shot", tmp_path).means["Rank-1"]
    assert colour < 2 * np.mean(chance)
