"""Every method under fast-reid's own trainer, as `examples/stock_trainer.py` runs it."""

import functools
import importlib.util
import json
import shutil
from argparse import Namespace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from fastreid.evaluation import ReidEvaluator, inference_on_dataset, reid_evaluation
from fastreid.utils.compute_dist import build_dist
from helpers import ROOT, SMALL, SMALL_METHODS, UNLABELED, python, small_cfg

from vireid_plugins.compat import patch
from vireid_plugins.config import config_path
from vireid_plugins.data import build_test_loader
from vireid_plugins.engine.train import load_model
from vireid_plugins.evaluation import evaluate_ranking

pytestmark = pytest.mark.usefixtures("unpatched")
# It has views of an image and relation blocks.
METHOD = "caj"
# fast-reid's trainer has no clusters.
OTHERS = sorted({file.stem for file in (ROOT / "configs" / "SYSU").glob("*.yml")} - {METHOD, *UNLABELED})
# At the recipes' rates some runs of so few steps end with features out of float32's range: relation blocks are cubic in
# the feature map, and the batch norms' running statistics are not there yet.
RATE = 1e-5
SCHEDULE = [
    "SOLVER.BASE_LR", str(RATE),
    "SOLVER.SCHED", "MultiStepLR", "SOLVER.STEPS", "[1]", "SOLVER.GAMMA", "0.1", "SOLVER.WARMUP_ITERS", "2",
    "SOLVER.BIAS_LR_FACTOR", "1.0", "SOLVER.HEADS_LR_FACTOR", "1.0", "SOLVER.OPT", "Adam",
]  # fmt: skip


def example() -> Any:
    """The module `examples/stock_trainer.py`."""
    spec = importlib.util.spec_from_file_location("stock_trainer", ROOT / "examples" / "stock_trainer.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def arguments(method: str, folder: Path, *overrides: str, resume: bool = False) -> Namespace:
    return Namespace(
        config_file=str(config_path(f"SYSU/{method}.yml")),
        opts=[
            *SMALL, *SMALL_METHODS.get(method.removesuffix("_released"), []), "OUTPUT_DIR", str(folder),
            "TEST.PROTOCOLS", "['sysu/agw/all/1shot']", *overrides,
        ],
        resume=resume, eval_only=False,
    )  # fmt: skip


def first_epoch(method: str, folder: Path) -> dict[str, Any]:
    torch.manual_seed(0)
    scores: dict[str, Any] = example().main(arguments(method, folder, *SCHEDULE))
    return scores


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("stock") / "out"


@functools.cache
def first_run(folder: Path) -> dict[str, Any]:
    """The scores of METHOD's first epoch, trained once for the file, and its checkpoint."""
    scores = first_epoch(METHOD, folder)
    return {"scores": scores, "checkpoint": torch.load(folder / "model_final.pth", weights_only=False)}


def check_second_epoch(method: str, folder: Path, start: dict[str, Any]) -> None:
    """That a resumed run changes the weights and reaches its milestone."""
    second = example().main(arguments(method, folder, *SCHEDULE, "SOLVER.MAX_EPOCH", "2", resume=True))
    assert "metric" in second
    end = torch.load(folder / "model_final.pth", weights_only=False)
    assert (start["epoch"], end["epoch"]) == (0, 1)
    weights = [name for name in start["model"] if name.endswith("weight")]
    moved = [name for name in weights if not torch.equal(start["model"][name], end["model"][name])]
    assert len(moved) >= 0.95 * len(weights), set(weights) - set(moved)
    lines = [json.loads(line) for line in (folder / "metrics.json").read_text().splitlines()]
    rates = [line for line in lines if "lr" in line]
    assert rates[0]["lr"] == pytest.approx(RATE)
    assert rates[-1]["lr"] == pytest.approx(0.1 * RATE), "the milestone is epoch 1 of the run"


def test_stock_trainer_changes_weights_resumes_and_keeps_milestones(
    little_root: Path, folder: Path, tmp_path: Path
) -> None:
    assert 0 <= first_run(folder)["scores"]["metric"] <= 100
    shutil.copytree(folder, tmp_path / "out")
    check_second_epoch(METHOD, tmp_path / "out", first_run(folder)["checkpoint"])


@pytest.mark.slow
@pytest.mark.parametrize("method", OTHERS)
def test_stock_trainer_changes_weights_resumes_and_keeps_milestones_of_every_method(
    data_root: Path, tmp_path: Path, method: str
) -> None:
    assert 0 <= first_epoch(method, tmp_path / "out")["metric"] <= 100
    check_second_epoch(method, tmp_path / "out", torch.load(tmp_path / "out" / "model_final.pth", weights_only=False))


def test_stock_trainer_command_trains_in_mixed_precision(little_root: Path, tmp_path: Path) -> None:
    given = arguments("one_stream", tmp_path / "out", "SOLVER.AMP.ENABLED", "True")
    ran = python("examples/stock_trainer.py", "--config-file", given.config_file, *given.opts)
    assert ran.returncode == 0, ran.stderr
    assert "sysu/agw/all/1shot" in ran.stdout
    assert "grad_scaler" in torch.load(tmp_path / "out" / "model_final.pth", weights_only=False)


@pytest.mark.parametrize("rerank", [False, True])
def test_fast_reids_evaluator_scores_our_features(
    little_root: Path, folder: Path, monkeypatch: pytest.MonkeyPatch, rerank: bool
) -> None:
    first_run(folder)
    cfg = small_cfg(f"SYSU/{METHOD}.yml", "MODEL.WEIGHTS", str(folder / "model_final.pth"))
    patch()
    model = load_model(cfg)
    cfg.TEST.RERANK.ENABLED = rerank
    # Its own distances are kept: computed once more they may round otherwise, and near ties change places. Equal ones,
    # which its sort puts in any order, are told apart by taking each row's places for its distances.
    distances: list[Any] = []

    def kept(*args: Any, **kwargs: Any) -> Any:
        distance = np.asarray(build_dist(*args, **kwargs))
        distances.append(distance.argsort(axis=1, kind="stable").argsort(axis=1).astype(np.float32))
        return distances[-1]

    monkeypatch.setattr(reid_evaluation, "build_dist", kept)
    loader, queries = build_test_loader(cfg, "SYSUMM01")
    scores = inference_on_dataset(model, loader, ReidEvaluator(cfg, queries), flip_test=False)
    if rerank:
        assert len(distances) == 2
        assert 0 < scores["mAP"] <= 100
        return
    (distance,) = distances
    items = [*loader.dataset.dataset.query, *loader.dataset.dataset.gallery]
    ids, cams = (np.array([item[column] for item in items]) for column in (1, 2))
    ours = evaluate_ranking(
        distance, ids[:queries], ids[queries:], cams[:queries], cams[queries:], drop="same_camera", cmc="ordinary",
    )  # fmt: skip
    assert scores["mAP"] == pytest.approx(100 * ours.mAP, abs=1e-6)
    assert scores["mINP"] == pytest.approx(100 * ours.mINP, abs=1e-6)
    assert scores["Rank-1"] == pytest.approx(100 * ours.cmc[0], abs=1e-4)  # fast-reid keeps it in float32
