"""Plans: made once for a run, and for data sets that this package does not know."""

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fastreid.data.datasets import DATASET_REGISTRY
from helpers import small_cfg
from reference.ranking import per_query

from vireid_plugins.data.batch import INFRARED, VISIBLE
from vireid_plugins.data.datasets import LLCM, SYSUMM01, CrossModalityDataset
from vireid_plugins.data.datasets.base import DatasetItem, Listing
from vireid_plugins.engine import Trainer
from vireid_plugins.errors import ConfigError, DataError
from vireid_plugins.evaluation import PROTOCOLS, EvaluationPlan, Protocol, evaluate_protocol
from vireid_plugins.evaluation.protocols import protocols_of
from vireid_plugins.evaluation.trials import draw_trials, sides


class Corridor(CrossModalityDataset):
    """A data set of a plug-in package: visible cameras 1 and 2, infrared camera 3, two splits, draws of its own.

    Nobody in camera 3 is looked for in camera 1.
    """

    dataset_dir = "Corridor"
    layout = ("images",)
    source = "ask its authors"
    layout_name = "Corridor"
    galleries = {"near": (1,)}  # noqa: RUF012
    unseen = {"corridor": ((3, 1),)}  # noqa: RUF012
    splits = (7, 8)

    def __init__(self, root: str, split: int = 7) -> None:
        self.split = split
        super().__init__(root, list, lambda: self._items((3,)), lambda: self._items((1, 2)))

    def modality(self, item: DatasetItem) -> int:
        return INFRARED if item[2] == 3 else VISIBLE

    def _items(self, cameras: Any) -> list[DatasetItem]:
        return [
            (str(self.folder / path), *cell)
            for modality in (VISIBLE, INFRARED)
            for *cell, paths in self.listings(modality, cameras)
            for path in paths
        ]

    def listings(self, modality: int, cameras: Any = None) -> list[Listing]:
        here = [camera for camera in ((3,) if modality == INFRARED else (1, 2)) if cameras is None or camera in cameras]
        return [(i, c, [f"{self.split}/{c}/{i}/{n}.png" for n in range(3)]) for i in range(1, 5) for c in here]

    def official_trials(self, listings: list[Listing], trials: int, shots: int) -> list[list[str]]:
        return [[path for *_, paths in listings for path in paths[trial : trial + shots]] for trial in range(trials)]


@pytest.fixture
def corridor(tmp_path: Path) -> Iterator[Path]:
    """The folder of a `Corridor`, which is registered."""
    (tmp_path / "Corridor" / "images").mkdir(parents=True)
    DATASET_REGISTRY.register(Corridor)
    yield tmp_path
    del DATASET_REGISTRY._obj_map["Corridor"]


def protocol(**facts: Any) -> Protocol:
    given = {"direction": "i2v", "cmc": "ordinary", "drop": "corridor", "about": "ours", "draw": "official"}
    return Protocol("corridor/i2v", "Corridor", **{**given, "shots": 1, "trials": 2, **facts})


def test_plan_has_the_positions_of_every_drawn_image(tree: Path) -> None:
    dataset = LLCM(root=str(tree))
    plan = EvaluationPlan(dataset, protocols_of("LLCM", []))
    for one in plan.protocols:
        planned = [
            tuple([plan.images.paths[side][row] for row in rows] for side, rows in zip(sides(one), trial, strict=True))
            for trial in plan.trials(one)
        ]
        assert planned == draw_trials(dataset, one)


def test_trainer_evaluates_by_the_plans_it_made_when_it_was_built(
    little_tree: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "SYSU-MM01"
    shutil.copytree(little_tree / "SYSU-MM01", folder)
    monkeypatch.setenv("FASTREID_DATASETS", str(tmp_path))
    (tmp_path / "run").mkdir()
    trainer = Trainer(small_cfg("SYSU/one_stream.yml", "OUTPUT_DIR", str(tmp_path / "run")))
    expected = trainer.test(trainer.cfg, trainer.model)
    # Whoever lists a folder again finds more images, and whoever draws again or reads a list finds none.
    shutil.rmtree(folder / "exp")
    for image in folder.glob("cam*/*/0001.jpg"):
        shutil.copy(image, image.with_name("0099.jpg"))
    assert trainer.test(trainer.cfg, trainer.model, trainer.plans) == expected
    with pytest.raises(DataError, match="SYSU-MM01 is incomplete"):
        trainer.test(trainer.cfg, trainer.model)


def test_data_set_of_a_plugin_is_scored_by_its_own_facts(corridor: Path) -> None:
    dataset = Corridor(str(corridor), split=8)
    paths = [dataset.relative(item) for item in (*dataset.query, *dataset.gallery)]
    features = np.random.default_rng(0).standard_normal((len(paths), 6))
    row = {path: vector / np.linalg.norm(vector) for path, vector in zip(paths, features, strict=True)}
    result = evaluate_protocol(features, paths, protocol(), corridor, split=8)
    assert (result.label, len(result.rankings)) == ("corridor/i2v split 8", 2)
    for trial, ranking in enumerate(result.rankings):
        query = [path for path in paths if path.startswith("8/3/")]
        gallery = [f"8/{camera}/{identity}/{trial}.png" for identity in range(1, 5) for camera in (1, 2)]
        seen = [path for path in gallery if path.startswith("8/2/")]
        distance = np.array([[-row[q] @ row[g] for g in seen] for q in query])
        ids = [np.array([int(path.split("/")[2]) for path in side]) for side in (query, seen)]
        expected = per_query(distance, *ids, ids[0], ids[1], "none", "ordinary", ranks=len(seen))
        assert expected is not None
        np.testing.assert_allclose(ranking.cmc[: len(seen)], expected.cmc)
        assert (ranking.mAP, ranking.mINP, ranking.counted) == pytest.approx(expected[1:])


def test_data_set_of_a_plugin_without_what_is_asked_for_is_one_error(corridor: Path) -> None:
    dataset = Corridor(str(corridor))
    everything = protocol(mode="near", draw="everything")
    (near,) = EvaluationPlan(dataset, [everything]).trials(everything)
    assert len(near.gallery) == 12
    with pytest.raises(ConfigError, match="mode: unknown value 'far'; available: near"):
        EvaluationPlan(dataset, [protocol(mode="far")]).draw()
    with pytest.raises(ConfigError, match="drop: unknown value 'sysu'; available: corridor, none, same_camera"):
        EvaluationPlan(dataset, [protocol(drop="sysu")])
    with pytest.raises(ConfigError, match="Corridor has 2 splits; give the one that the model was trained on, 7 to 8"):
        evaluate_protocol(np.ones((1, 1)), ["a"], protocol(), corridor)


@pytest.mark.parametrize(
    ("facts", "message"),
    [
        ({"mode": "near"}, r"the camera rule drop=\"corridor\" excludes every match .* drop=\"none\""),
        ({"mode": "near", "drop": "none"}, ""),
    ],
)
def test_plan_whose_camera_rule_leaves_no_match_is_one_error(corridor: Path, facts: Any, message: str) -> None:
    plan = EvaluationPlan(Corridor(str(corridor)), [protocol(draw="everything", **facts)])
    if not message:
        plan.draw()
        return
    with pytest.raises(DataError, match=message):
        plan.draw()


def test_plan_of_other_identities_in_the_gallery_is_one_error(corridor: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = Corridor.listings

    def listings(self: Corridor, modality: int, cameras: Any = None) -> list[Listing]:
        return [(i + 10 * (modality == INFRARED), *rest) for i, *rest in whole(self, modality, cameras)]

    monkeypatch.setattr(Corridor, "listings", listings)
    plan = EvaluationPlan(Corridor(str(corridor)), [protocol(draw="everything", drop="none")])
    with pytest.raises(DataError, match=r"they share no identity \(queries 11, 12, 13, 14, gallery 1, 2, 3, 4\)"):
        plan.draw()


def test_plan_of_sysu_knows_that_camera_3_does_not_see_camera_2(tree: Path) -> None:
    plan = EvaluationPlan(SYSUMM01(root=str(tree)), [PROTOCOLS["sysu/agw/all/1shot"]])
    labels = [plan.images.labels[modality] for modality in (INFRARED, VISIBLE)]
    hidden = plan.rules["sysu/agw/all/1shot"].hides(*labels)
    query, gallery = (one.cams for one in labels)
    assert np.array_equal(hidden, (query[:, None] == 3) & (gallery == 2))
    assert 0 < hidden.sum() < hidden.size
