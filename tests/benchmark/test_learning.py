"""The bench of learning, and two of its runs as a guard: a change that makes training worse fails here."""

import json
from pathlib import Path

import pytest
from helpers import ROOT

from vireid_plugins.benchmark import learning
from vireid_plugins.errors import BenchmarkError

ROWS = ROOT / "docs" / "benchmarks" / "learning.jsonl"
TRAIN_NET = ROOT / "tools" / "train_net.py"


@pytest.mark.parametrize("name", learning.VARIANTS)
@pytest.mark.parametrize("tree", learning.TREES)
def test_every_run_is_a_configuration(tree: str, name: str) -> None:
    cfg = learning.Run(tree, name, 2, 3).cfg()
    assert (cfg.SEED, cfg.SOLVER.MAX_EPOCH, cfg.TEST.EVAL_PERIOD) == (2, 3, 3)
    assert (tree,) == cfg.DATASETS.NAMES
    assert [learning.TREES[tree].protocol] == cfg.TEST.PROTOCOLS


def test_what_is_finished_is_not_run_again_and_a_damaged_line_is_named(tmp_path: Path) -> None:
    rows = [{"tree": "RegDB", "variant": "AGW", "seed": s, "epochs": 4, "Rank-1": 10.0 + s, "mAP": 20.0, "mINP": 1.0,
             "seconds": 9.0} for s in (0, 1)]  # fmt: skip
    file = tmp_path / "rows.jsonl"
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    found = learning.read_rows(file)
    assert [row["key"] for row in found] == [("RegDB", "AGW", 0, 4), ("RegDB", "AGW", 1, 4)]
    table = learning.table(found, "RegDB")
    assert "| AGW                     | 10.5 ± 0.7 | 20.0 ± 0.0 | 1.0 ± 0.0 | 2       | 9         |" in table
    assert "| one-stream              |            |            |           |         |           |" in table
    file.write_text(file.read_text() + '{"tree": "RegDB", "vari')
    with pytest.raises(BenchmarkError, match="line 3 is not a finished run"):
        learning.read_rows(file)
    assert learning.read_rows(tmp_path / "none.jsonl") == []


def test_a_failed_run_says_why(tmp_path: Path) -> None:
    with pytest.raises(BenchmarkError, match=r"(?s)AGW, seed 0 on RegDB ended with 1:.*RegDB is not complete"):
        learning.train(learning.Run("RegDB", "AGW", 0, 1), tmp_path, TRAIN_NET)


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tree that the published rows were trained on."""
    folder = tmp_path_factory.mktemp("learning")
    learning.make_tree("SYSUMM01", folder)
    return folder


@pytest.mark.parametrize("name", ["one-stream", "WRIM-Net"])
def test_training_is_as_good_as_published(name: str, root: Path) -> None:
    run = learning.Run("SYSUMM01", name, 0, learning.TREES["SYSUMM01"].epochs)
    learning.train(run, root, TRAIN_NET, learning.expectation(learning.read_rows(ROWS), run))
