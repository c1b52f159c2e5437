"""The command lines as a user calls them, each in a process of its own."""

import json
import re
from pathlib import Path

import pytest
from helpers import ROOT, SMALL, python
from PIL import Image

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
        (["--config-file", "configs/SYSU/wrim.yml", "--num-gpus", "2"], "--num-gpus 1"),
        (["--config-file", "configs/SYSU/wrim.yml", "MODEL.DEVICE", "cuda:9"], "MODEL.DEVICE"),
    ],
)
def test_mistakes_end_in_a_message_not_a_traceback(tmp_path: Path, arguments: list[str], said: str) -> None:
    output = ["OUTPUT_DIR", str(tmp_path / "out")]
    ran = python("tools/train_net.py", *arguments, *output, FASTREID_DATASETS=str(tmp_path), CUDA_VISIBLE_DEVICES="")
    assert ran.returncode == 1
    assert "Traceback" not in ran.stderr
    assert said in ran.stderr.split("error: ")[1]
