"""`vireid train`: what a run would be, its configuration, and how little it can say."""

import re
import tempfile
from pathlib import Path

import pytest
from helpers import SMALL, small_cfg, vireid
from PIL import Image

from vireid_plugins.cli import train
from vireid_plugins.config import load_config
from vireid_plugins.data.datasets import SYSUMM01
from vireid_plugins.engine.dry_run import dry_run
from vireid_plugins.errors import ConfigError

ONE = ["--config-file", "SYSU/one_stream.yml"]
TINY = [*SMALL, "MODEL.STREAMS.BACKBONE", "build_osnet_backbone", "MODEL.BACKBONE.DEPTH", "x0_25"]


def test_dry_run_says_what_a_run_takes_draws_its_batch_and_leaves_nothing(
    little_root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    temporary, here = tmp_path / "temporary", tmp_path / "here"
    for folder in (temporary, here):
        folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(temporary))
    monkeypatch.chdir(here)
    train.show_dry_run(load_config(ONE[1], [*TINY, "SOLVER.MAX_EPOCH", "40", "TEST.EVAL_PERIOD", "7"]))
    said = capsys.readouterr()
    assert said.err == ""
    assert "36 visible and 18 infrared images of 5 identities; 40 epochs of 5 steps of 16 images" in said.out
    # SYSU-MM01's queries are infrared, its gallery visible.
    test = SYSUMM01(root=str(little_root))
    counts = f"{len(test.gallery)} visible and {len(test.query)} infrared images of 5 identities"
    assert f"test        SYSUMM01: {counts}\n" in said.out
    assert re.search(r"a step +\d+\.\d+ s, .* images per second\n", said.out)
    assert re.search(r"memory +\d+\.\d\d GiB at most, of the process \(cpu\)\n", said.out)
    assert re.search(r"the run +about \d+\.\d (min|h): .* for 6 evaluations\n", said.out)
    drawn = re.findall(r"^first batch (.*)$", said.out, re.MULTILINE)
    assert [Path(file).name for file in drawn] == ["visible_0.png", "infrared_0.png"]
    # Rows of two images of each of four identities.
    assert Image.open(drawn[0]).size == (2 * (64 + 3), 4 * (128 + 3))
    assert list(here.iterdir()) == []
    left = {file.relative_to(temporary) for file in temporary.rglob("*") if file.is_file()}
    assert left == {Path(file).relative_to(temporary) for file in drawn}


def test_dry_run_counts_no_identities_and_evaluations_where_nobody_has_labeled_them(
    little_tree: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    overrides = ["DATASETS.OWN.ROOT", str(little_tree / "own"), "DATALOADER.APART.IDENTITIES", "[3, 5]"]
    train.show_dry_run(load_config("own/adca.yml", [*TINY, *overrides, "DATALOADER.APART.STEPS", "1"]))
    said = capsys.readouterr().out
    assert "20 visible and 20 infrared images, not labeled; 2 epochs of 1 step of 16" in said
    assert "evaluation" not in said


@pytest.mark.usefixtures("little_root")
def test_dry_run_fills_no_cache_and_says_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    train.show_dry_run(load_config(ONE[1], [*TINY, "DATALOADER.CACHE", str(tmp_path / "cache")]))
    assert "images per second (without DATALOADER.CACHE)\n" in capsys.readouterr().out
    assert not (tmp_path / "cache").exists()


@pytest.mark.usefixtures("little_root")
def test_dry_run_of_an_unknown_logger_is_the_error_of_the_training() -> None:
    with pytest.raises(ConfigError, match="LOGGERS: unknown value 'wand'"):
        dry_run(load_config(ONE[1], [*TINY, "LOGGERS", "wand"]), steps=1)


@pytest.mark.usefixtures("little_root")
def test_dry_run_takes_the_first_steps_of_the_training(tmp_path: Path) -> None:
    """A step of four views of two modalities, whatever `OUTPUT_DIR` holds."""
    cfg = small_cfg("SYSU/caj.yml", "OUTPUT_DIR", str(tmp_path))
    (tmp_path / "model_final.pth").write_bytes(b"of another run")
    found = dry_run(cfg, steps=1)
    assert found.steps == 5
    assert found.loss > 0
    assert 0 <= found.waited < found.seconds
    assert found.peak > 2**20
    assert len(found.batch["images"]) == 24
    assert [file.name for file in tmp_path.iterdir()] == ["model_final.pth"]
    assert str(tmp_path) == cfg.OUTPUT_DIR


def test_print_config_prints_yaml_that_loads_back_and_nothing_else(tmp_path: Path) -> None:
    words = [*ONE, *SMALL, "SEED", "7", "TEST.PROTOCOLS", "sysu/*", "OUTPUT_DIR", "o\tß: #"]
    ran = vireid("train", "--print-config", *words, cwd=tmp_path)
    assert (ran.returncode, ran.stderr) == (0, "")
    (tmp_path / "printed.yml").write_text(ran.stdout)
    assert load_config(tmp_path / "printed.yml") == load_config(ONE[1], words[2:])
    assert [file.name for file in tmp_path.iterdir()] == ["printed.yml"]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--dry-run", "--eval-only"], "argument --eval-only: not allowed with argument --dry-run"),
        (["--dry-run", "--num-gpus", "2", *ONE], "error: --dry-run: measures one process"),
        (["--dry-run", "--resume", *ONE], "error: --dry-run: shows a run from its start"),
        (["--dry-run", *ONE, "OUTPUT_DIR", "/dev/null/x"], "error: OUTPUT_DIR: '/dev/null/x' cannot be written"),
        (["--print-config", *ONE, "SEED", "x"], "'SEED' must be a whole number like 0; got 'x'"),
        (["--print-config"], "error: --config-file: name a configuration"),
    ],
)
def test_train_with_flags_that_do_not_fit_is_one_error(tmp_path: Path, words: list[str], said: str) -> None:
    # Flags of argparse in any order.
    ran = vireid("train", *words, cwd=tmp_path)
    assert ran.returncode in (1, 2)
    assert said in ran.stderr
    assert "Traceback" not in ran.stderr
    assert ran.stdout == ""


def test_quiet_training_shows_the_final_table_and_the_usual_one_what_to_do_next(
    little_tree: Path, tmp_path: Path
) -> None:
    env = {"FASTREID_DATASETS": str(little_tree)}
    keys = [*TINY, "OUTPUT_DIR", "a run", "TEST.PROTOCOLS", "sysu/agw/*", "TEST.COMPARE_RANDOM", "True"]
    quiet = vireid("train", "--quiet", *ONE, *keys, cwd=tmp_path, **env)
    assert quiet.returncode == 0, quiet.stderr
    table = [line.split("|")[1].strip() for line in quiet.stdout.splitlines() if line.startswith("|")]
    assert table == ["protocol", table[1], "sysu/agw/all/1shot", "sysu/agw/indoor/1shot"]
    assert len(quiet.stdout.splitlines()) == 5
    assert quiet.stdout.splitlines()[0].endswith(" mean ± standard deviation over trials in percent:")

    usual = vireid("train", "--resume", *ONE, *keys, "SOLVER.MAX_EPOCH", "3", cwd=tmp_path, **env)
    assert usual.returncode == 0, usual.stderr
    # A pipe: every character is plain.
    assert re.fullmatch(r"[^\x00-\x09\x0b-\x1f\x7f-\x9f]*", usual.stdout)
    assert "Starting training from epoch 2; 3 epochs of 5 steps" in usual.stdout
    assert usual.stdout.count("| sysu/agw/all/1shot ") == 3  # two epochs, and random features beside the last
    assert usual.stdout.count("| random ") == 2
    assert "csv format" not in usual.stdout
    assert len(re.findall(r"Epoch [23]: metric .*; best so far .*, chosen on the test set", usual.stdout)) == 2
    end = usual.stdout.partition("The run is complete.")[2]
    for name in ("model_final.pth", "model_best.pth", "evaluation.json", "metrics.json", "config.yaml", "log.txt"):
        assert f"  {name} " in end
        assert (tmp_path / "a run" / name).is_file()
    assert "  vireid visualize rank 'a run'\n" in end
    log = (tmp_path / "a run" / "log.txt").read_text()
    assert "Full configuration" in log
    assert "Full configuration:" not in usual.stdout
