"""The command lines as a user calls them, each in a process of its own."""

import json
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
from helpers import ROOT, SMALL, python
from PIL import Image

from vireid_plugins.data.datasets import RegDB
from vireid_plugins.evaluation import evaluate_protocol

TOOLS = sorted(file.name for file in (ROOT / "tools").glob("[!_]*.py"))


@pytest.mark.parametrize("tool", TOOLS)
def test_every_tool_explains_itself(tool: str) -> None:
    ran = python(f"tools/{tool}", "--help")
    assert ran.returncode == 0, ran.stderr
    assert "usage" in ran.stdout


def test_make_train_resume_score_and_draw(tmp_path: Path) -> None:
    data, out = tmp_path / "data", tmp_path / "out"
    made = python(
        "tools/make_synthetic.py",
        "SYSUMM01",
        "--root",
        str(data),
        "--train",
        "8",
        "--val",
        "2",
        "--test",
        "5",
        "--images",
        "3",
        "--height",
        "48",
        "--width",
        "24",
        "--contact-sheet",
        str(tmp_path / "sheet.png"),
    )
    assert made.returncode == 0, made.stderr
    assert Image.open(tmp_path / "sheet.png").width > 100
    env = {"FASTREID_DATASETS": str(data)}
    config = ["--config-file", "configs/demo/wrim.yml"]
    options = [*SMALL, "OUTPUT_DIR", str(out)]
    trained = python("tools/train_net.py", *config, *options, **env)
    assert trained.returncode == 0, trained.stderr
    assert re.search(r"\| model .*\| sysu/official/all/1shot .*±", trained.stdout)
    assert re.search(r"\| random .*\| sysu/official/all/1shot .*±", trained.stdout)
    first = json.loads((out / "evaluation.json").read_text())

    more = python("tools/train_net.py", *config, "--resume", *options, "SOLVER.MAX_EPOCH", "2", **env)
    assert more.returncode == 0, more.stderr
    assert "Starting training from epoch 1" in more.stdout

    weights = ["MODEL.WEIGHTS", str(out / "model_final.pth")]
    scored = python("tools/train_net.py", *config, "--eval-only", *options, *weights, **env)
    assert scored.returncode == 0, scored.stderr
    assert "Skip loading" not in scored.stdout
    assert json.loads((out / "evaluation.json").read_text())["results"] != first["results"]

    drawn = python(
        "tools/visualize.py", "rank", *config, "--output", str(tmp_path / "rank.png"), "--queries", "3", *options, **env
    )
    assert drawn.returncode == 0, drawn.stderr
    assert Image.open(tmp_path / "rank.png").width > 500


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--config-file", "configs/SYSU/wrim.yml"], "SYSU-MM01 is not complete"),
        (["--config-file", "configs/SYSU/rwim.yml"], "SYSU/wrim.yml"),
        (["--config-file", "configs/SYSU/wrim.yml", "SOLVER.EPOCHS", "3"], "unknown key 'SOLVER.EPOCHS'"),
        (["--config-file", "configs/SYSU/wrim.yml", "--eval-only"], "name a checkpoint"),
        (["--config-file", "configs/SYSU/wrim.yml", "--num-gpus", "0"], "--num-gpus 0"),
        (["--config-file", "configs/SYSU/wrim.yml", "MODEL.DEVICE", "cuda:9"], "MODEL.DEVICE"),
    ],
)
def test_mistakes_end_in_a_message_not_a_traceback(tmp_path: Path, arguments: list[str], said: str) -> None:
    output = ["OUTPUT_DIR", str(tmp_path / "out")]
    ran = python("tools/train_net.py", *arguments, *output, FASTREID_DATASETS=str(tmp_path), CUDA_VISIBLE_DEVICES="")
    assert ran.returncode == 1
    assert "Traceback" not in ran.stderr
    assert said in ran.stderr.split("error: ")[1]


def test_features_of_any_code_base_are_scored_and_merged(tree: Path, tmp_path: Path) -> None:
    common = ["--data-root", str(tree)]
    for split in (1, 2):
        dataset = RegDB(root=str(tree), split=split)
        items = [*dataset.query, *dataset.gallery]
        features = np.random.default_rng(split).standard_normal((len(items), 8))
        np.savez(tmp_path / "f.npz", features=features, paths=[dataset.relative(item) for item in items])
        ran = python(
            "tools/evaluate_features.py", "--features", str(tmp_path / "f.npz"), "--dataset", "RegDB", *common,
            "--split", str(split), "--json", str(tmp_path / f"{split}.json"),
        )  # fmt: skip
        assert ran.returncode == 0, ran.stderr
        expected = evaluate_protocol(features, [dataset.relative(i) for i in items], "regdb/i2v", tree, split)
        assert f"{expected.means['mAP']:.2f} ±" in ran.stdout
    merged = python("tools/evaluate_features.py", "--merge", str(tmp_path / "1.json"), str(tmp_path / "2.json"))
    assert "2 of 10" in merged.stdout, merged.stderr
    again = [*common, "--features", str(tmp_path / "f.npz"), "--split", "2", "--protocol", "regdb/v2i"]
    plain, reranked = (
        python("tools/evaluate_features.py", *again, *more).stdout for more in ([], ["--rerank", "ordinary"])
    )
    assert "no re-ranking" in plain
    assert "| regdb/v2i split 2 + ordinary re-ranking (k1 20, k2 6, lambda 0.3) |" in reranked


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--protocol", "sysu/all"], "'sysu/all' does not exist; there are"),
        (["--protocol", "llcm/v2i", "regdb/v2i"], "of several data sets"),
        (["--protocol", "regdb/v2i"], "has ten splits: say which one"),
        (["--dataset", "LLCM", "--split", "1"], "LLCM has no splits"),
        (["--protocol", "llcm/v2i"], "images have no features, the first: test_"),
    ],
)
def test_wrong_features_end_in_a_message(tree: Path, tmp_path: Path, arguments: list[str], said: str) -> None:
    np.savez(tmp_path / "f.npz", features=np.ones((1, 2)), paths=["x.jpg"])
    ran = python(
        "tools/evaluate_features.py", "--features", str(tmp_path / "f.npz"), "--data-root", str(tree), *arguments
    )
    assert (ran.returncode, "Traceback" in ran.stderr) == (1, False)
    assert said in ran.stderr


def test_verify_says_with_its_exit_code_whether_a_tree_is_whole(tree: Path, tmp_path: Path) -> None:
    whole = python("tools/verify_data.py", "LLCM", str(tree))
    assert whole.returncode == 0, whole.stderr
    assert "0 findings" in whole.stdout
    shutil.copytree(tree / "LLCM", tmp_path / "LLCM")
    file = sorted((tmp_path / "LLCM").glob("nir/*/*.jpg"))[0]
    file.write_bytes(b"torn")
    torn = python("tools/verify_data.py", "LLCM", str(tmp_path))
    assert torn.returncode == 1
    assert f"{file}: cannot be read" in torn.stdout
    none = python("tools/verify_data.py", "RegDB", str(tmp_path))
    assert none.returncode == 1
    assert "error: RegDB is not complete" in none.stderr


def test_the_benchmark_prints_a_table_and_writes_what_it_depends_on(tmp_path: Path) -> None:
    ran = python(
        "tools/benchmark.py", "scoring", "--repeats", "2", "--only", "RegDB", "--json", str(tmp_path / "b.json")
    )
    assert ran.returncode == 0, ran.stderr
    report = json.loads((tmp_path / "b.json").read_text())
    assert {"device", "threads", "torch", "numba", "commit"} <= set(report["environment"])
    counting, loops = report["results"]
    assert (counting["way"], loops["way"]) == ("counting", "per-query loops")
    assert (counting["repeats"], counting["warm_up"], loops["repeats"]) == (2, 1, 1)
    assert counting["fastest_seconds"] <= counting["median_seconds"] <= counting["slowest_seconds"]
    assert "per-query loops" in ran.stdout
