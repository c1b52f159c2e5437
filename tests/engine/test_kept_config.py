"""Whatever takes a configuration leaves it as it is; of exports tests/export says so."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from fastreid.config import CfgNode
from fastreid.modeling.meta_arch import build_model
from helpers import small_cfg

from vireid_plugins import visualize
from vireid_plugins.data import build_test_loader, build_train_loader
from vireid_plugins.data.datasets import build_dataset
from vireid_plugins.engine import Trainer, checkpoint_of, load_model
from vireid_plugins.engine.train import evaluate
from vireid_plugins.evaluation import CrossModalityEvaluator, plan_test
from vireid_plugins.search import Extractor
from vireid_plugins.visualize.plugins import network_size
from vireid_plugins.visualize.report import build_report

Call = Callable[[CfgNode], Any]
TAKES: dict[str, Call] = {
    "build_dataset": lambda cfg: build_dataset(cfg, "SYSUMM01"),
    "build_model": lambda cfg: build_model(cfg),
    "build_report": lambda cfg: build_report(cfg, queries=2, top=2),
    "build_test_loader": lambda cfg: build_test_loader(cfg, "SYSUMM01"),
    "build_train_loader": lambda cfg: build_train_loader(cfg),
    "checkpoint_of": lambda cfg: checkpoint_of(cfg),
    "CrossModalityEvaluator": lambda cfg: CrossModalityEvaluator(cfg, plan_test(cfg, "SYSUMM01")),
    "evaluate": lambda cfg: evaluate(cfg),
    "extract": lambda cfg: visualize.extract(cfg),
    "Extractor": lambda cfg: Extractor(cfg),
    "load_model": lambda cfg: load_model(cfg),
    "network_size": lambda cfg: network_size(cfg, batch=1),
    "pairs_of": lambda cfg: visualize.pairs_of(cfg, 1),
    "rank_lists_of": lambda cfg: visualize.rank_lists_of(cfg, 2),
    "Trainer": lambda cfg: Trainer(cfg),
    "Trainer.test": lambda cfg: Trainer.test(cfg, load_model(cfg)),
}


def check(cfg: CfgNode, call: Call) -> None:
    cfg.freeze()
    before = cfg.clone()
    call(cfg)
    assert cfg == before
    assert cfg.is_frozen()


@pytest.mark.usefixtures("data_root")
@pytest.mark.parametrize("name", TAKES)
def test_configuration_is_as_it_was(name: str, trained: Path, tmp_path: Path) -> None:
    weights = ("MODEL.WEIGHTS", str(trained / "model_final.pth"))
    check(small_cfg("SYSU/wrim.yml", "OUTPUT_DIR", str(tmp_path), *weights), TAKES[name])


@pytest.mark.usefixtures("data_root")
def test_load_model_of_an_output_folder_names_its_file_and_nothing_else(trained: Path) -> None:
    cfg = small_cfg("SYSU/wrim.yml", "OUTPUT_DIR", str(trained), "MODEL.BACKBONE.PRETRAIN", "True")
    before = cfg.clone()
    assert checkpoint_of(cfg) == trained / "model_final.pth"
    assert load_model(cfg) is not None
    assert cfg == before
