"""Verbs one after the other, as a user calls them; what they say to mistakes is in tests/bad_input."""

import argparse
import json
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
from helpers import SMALL, small_cfg, vireid
from PIL import Image

from vireid_plugins.cli._common import output_of, run_and_overrides
from vireid_plugins.cli.main import command_parser, parsed
from vireid_plugins.config import load_config
from vireid_plugins.data.datasets import RegDB
from vireid_plugins.errors import ConfigError
from vireid_plugins.evaluation import evaluate_protocol


def test_train_trains_resumes_and_scores_what_synthesize_made(tmp_path: Path) -> None:
    data, out = tmp_path / "data", tmp_path / "out"
    made = vireid("synthesize", "SYSUMM01", "--root", str(data), "--train", "4", "--val", "1", "--test", "5",
        "--images", "2", "--height", "48", "--width", "24", "--contact-sheet", str(tmp_path / "sheet.png"),
    )  # fmt: skip
    assert made.returncode == 0, made.stderr
    assert Image.open(tmp_path / "sheet.png").width > 100
    env = {"FASTREID_DATASETS": str(data)}
    config = ["--config-file", "demo/wrim.yml"]
    options = [*SMALL, "OUTPUT_DIR", str(out)]
    trained = vireid("train", *config, *options, **env)
    assert trained.returncode == 0, trained.stderr
    assert re.search(r"\| model .*\| sysu/official/all/1shot .*±", trained.stdout)
    assert re.search(r"\| random .*\| sysu/official/all/1shot .*±", trained.stdout)
    first = json.loads((out / "evaluation.json").read_text())

    more = vireid("train", *config, "--resume", *options, "SOLVER.MAX_EPOCH", "2", **env)
    assert more.returncode == 0, more.stderr
    assert "Starting training from epoch 2" in more.stdout

    weights = ["MODEL.WEIGHTS", str(out / "model_final.pth")]
    scored = vireid("train", *config, "--eval-only", *options, *weights, **env)
    assert scored.returncode == 0, scored.stderr
    assert "Skip loading" not in scored.stdout
    assert json.loads((out / "evaluation.json").read_text())["results"] != first["results"]

    again = vireid("evaluate", str(out), "--on", "SYSUMM01", "TEST.PROTOCOLS=sysu/official/all/1shot", **env)
    assert again.returncode == 0, again.stderr
    place = out / "evaluated" / "model_final-SYSUMM01-TEST.PROTOCOLS=sysu_official_all_1shot"
    on = json.loads((place / "evaluation.json").read_text())
    assert load_config(place / "config.yaml").TEST.PROTOCOLS == ["sysu/official/all/1shot"]
    of_run = {one["protocol"]: one for one in json.loads((out / "evaluation.json").read_text())["results"]}
    assert on["results"] == [of_run["sysu/official/all/1shot"]]

    drawn = vireid(
        "visualize", "rank", *config, "--output", str(tmp_path / "rank.png"), "--queries", "3", *options, **env
    )
    assert drawn.returncode == 0, drawn.stderr
    assert Image.open(tmp_path / "rank.png").width > 500


def test_score_of_any_code_base_scores_and_merges(little_tree: Path, tmp_path: Path) -> None:
    common = ["--data-root", str(little_tree)]
    for split in (1, 2):
        dataset = RegDB(root=str(little_tree), split=split)
        items = [*dataset.query, *dataset.gallery]
        features = np.random.default_rng(split).standard_normal((len(items), 8))
        np.savez(tmp_path / "f.npz", features=features, paths=[dataset.relative(item) for item in items])
        ran = vireid("score", "--features", str(tmp_path / "f.npz"), "--dataset", "RegDB", *common,
            "--split", str(split), "--json", str(tmp_path / f"{split}.json"),
        )  # fmt: skip
        assert ran.returncode == 0, ran.stderr
        expected = evaluate_protocol(features, [dataset.relative(i) for i in items], "regdb/i2v", little_tree, split)
        assert f"| {expected.means['mAP']:.2f} " in ran.stdout
    merged = vireid("score", "--merge", str(tmp_path / "1.json"), str(tmp_path / "2.json"))
    assert "2 of 10" in merged.stdout, merged.stderr
    again = [*common, "--features", str(tmp_path / "f.npz"), "--split", "2", "--protocol", "regdb/v2i"]
    plain, reranked = (vireid("score", *again, *more).stdout for more in ([], ["--rerank", "ordinary"]))
    assert "no re-ranking" in plain
    assert "| regdb/v2i split 2 + ordinary re-ranking (k1 20, k2 6, lambda 0.3) |" in reranked


def test_verify_says_with_its_exit_code_whether_a_tree_is_whole(little_tree: Path, tmp_path: Path) -> None:
    whole = vireid("verify", "LLCM", str(little_tree))
    assert whole.returncode == 0, whole.stderr
    assert "0 findings" in whole.stdout
    shutil.copytree(little_tree / "LLCM", tmp_path / "LLCM")
    file = sorted((tmp_path / "LLCM").glob("nir/*/*.jpg"))[0]
    file.write_bytes(b"torn")
    torn = vireid("verify", "LLCM", str(tmp_path))
    assert torn.returncode == 1
    assert f"{file}: cannot be read" in torn.stdout
    none = vireid("verify", "RegDB", str(tmp_path))
    assert none.returncode == 1
    assert "error: RegDB is incomplete" in none.stderr


def test_output_of_a_run_is_by_default_in_its_folder(tmp_path: Path) -> None:
    cfg = small_cfg("SYSU/wrim.yml", "MODEL.WEIGHTS", str(tmp_path / "run" / "model_final.pth"))
    assert output_of(argparse.Namespace(output=None), cfg, "rank.pdf") == tmp_path / "run" / "rank.pdf"
    assert output_of(argparse.Namespace(output=Path("a.png")), cfg, "rank.pdf") == Path("a.png")


@pytest.mark.parametrize(
    ("word", "is_run"), [("logs/none", True), ("none.pth", True), ("a@b", True), ("SEED=3", False)]
)
def test_run_and_overrides_beside_a_configuration_tell_a_run_from_a_key(word: str, is_run: bool) -> None:
    args = argparse.Namespace(run=word, config_file="a.yml", opts=["MODEL.DEVICE=cpu"])
    expected = (word, args.opts) if is_run else ("", [word, *args.opts])
    assert run_and_overrides(args) == expected


def test_parsed_takes_flags_and_overrides_in_any_order() -> None:
    words = ["train", "SEED=3", "--resume", "SOLVER.BASE_LR", "-1e-3", "--config-file", "a.yml", "OUTPUT_DIR", "x"]
    args = parsed(command_parser(), words)
    assert (args.resume, args.config_file) == (True, "a.yml")
    assert args.opts == ["SEED=3", "SOLVER.BASE_LR", "-1e-3", "OUTPUT_DIR", "x"]
    args = parsed(command_parser(), ["visualize", "rank", "logs/a", "--output", "a.png", "SEED=3", "--queries", "2"])
    assert (args.run, args.number, args.opts) == ("logs/a", 2, ["SEED=3"])


@pytest.mark.parametrize("words", [["train", "--resum", "x", "--typo"], ["keys", "SEED", "x"]])
def test_parsed_of_what_no_argument_takes_is_an_error(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        parsed(command_parser(), words)
    assert ended.value.code == 2
    assert f"usage: vireid {words[0]} " in capsys.readouterr().err


@pytest.mark.parametrize("words", [["collect", ""], ["compare", "", "logs/a"], ["verify", "LLCM", " "]])
def test_parsed_of_an_empty_path_is_an_error(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        parsed(command_parser(), words)
    assert "an empty path; the current folder is ." in capsys.readouterr().err


def test_run_and_overrides_takes_what_is_no_key_for_a_run() -> None:
    for run in ("agw.pth", "logs/a"):
        assert run_and_overrides(argparse.Namespace(run=run, config_file="a.yml", opts=["SEED=3"])) == (run, ["SEED=3"])
    with pytest.raises(ConfigError, match="RUN: name a run"):
        run_and_overrides(argparse.Namespace(run="", config_file="", opts=[]))


def test_run_and_overrides_with_a_configuration_takes_a_key_for_an_override() -> None:
    args = argparse.Namespace(run="OUTPUT_DIR=a/b", config_file="a.yml", opts=["SEED", "3"])
    assert run_and_overrides(args) == ("", ["OUTPUT_DIR=a/b", "SEED", "3"])
