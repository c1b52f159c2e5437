"""Weights without training state: what is kept, how small it is, and that every command takes it."""

from pathlib import Path

import pytest
import torch
from helpers import small_cfg, vireid

from vireid_plugins.checkpoints.weights_only import write_weights
from vireid_plugins.engine.checkpoint import VireidCheckpointer, load_checkpoint
from vireid_plugins.engine.train import load_model
from vireid_plugins.errors import DataError


def test_write_weights_keeps_weights_and_configuration_alone(trained: Path, tmp_path: Path) -> None:
    source = trained / "last.pth"
    found = write_weights(source, tmp_path / "small.pth")
    whole, small = load_checkpoint(source), load_checkpoint(tmp_path / "small.pth")
    assert set(small) <= {"model", "vireid", "epoch", "metric"}
    assert small["vireid"] == whole["vireid"]
    assert small["epoch"] == whole["epoch"]
    assert all(torch.equal(small["model"][name], value) for name, value in whole["model"].items())
    assert small["model"].keys() == whole["model"].keys()
    assert (found.averaged, found.before, found.after) == (
        False,
        source.stat().st_size,
        (tmp_path / "small.pth").stat().st_size,
    )
    # Adam keeps two numbers for each weight.
    assert found.after < 0.4 * found.before


def test_write_weights_takes_the_average_as_model_weights_would(trained: Path, tmp_path: Path) -> None:
    checkpoint = load_checkpoint(trained / "model_final.pth")
    averaged = {name: value + 1 if value.is_floating_point() else value for name, value in checkpoint["model"].items()}
    torch.save({**checkpoint, "average": {"model": averaged, "steps": 3}}, tmp_path / "averaged.pth")
    assert write_weights(tmp_path / "averaged.pth", tmp_path / "small.pth").averaged
    cfg = small_cfg("SYSU/wrim.yml", "MODEL.WEIGHTS", str(tmp_path / "averaged.pth"))
    expected = load_model(cfg).state_dict()
    cfg.MODEL.WEIGHTS = str(tmp_path / "small.pth")
    found = load_model(cfg).state_dict()
    assert all(torch.equal(found[name], value) for name, value in expected.items())


def test_write_weights_overwrites_nothing_and_refuses_what_is_no_checkpoint(trained: Path, tmp_path: Path) -> None:
    write_weights(trained / "model_final.pth", tmp_path / "small.pth")
    before = (tmp_path / "small.pth").read_bytes()
    with pytest.raises(DataError, match=r"small\.pth' exists and would be overwritten"):
        write_weights(trained / "model_final.pth", tmp_path / "small.pth")
    assert (tmp_path / "small.pth").read_bytes() == before
    with pytest.raises(DataError, match="does not exist"):
        write_weights(tmp_path / "absent.pth", tmp_path / "new.pth")
    assert not (tmp_path / "new.pth").exists()


def test_weights_alone_cannot_be_resumed_and_say_so(trained: Path, tmp_path: Path) -> None:
    write_weights(trained / "model_final.pth", tmp_path / "small.pth")
    model = load_model(small_cfg("SYSU/wrim.yml", "MODEL.WEIGHTS", str(tmp_path / "small.pth")))
    with pytest.raises(DataError, match="contains weights, but no training state to resume"):
        VireidCheckpointer(model, str(tmp_path)).resume_or_load("", resume=True)


def test_convert_says_what_it_kept_and_how_large_it_is(trained: Path, tmp_path: Path) -> None:
    ran = vireid("convert", str(trained), "--weights-only", "--output", "small.pth", cwd=tmp_path)
    assert ran.returncode == 0, ran.stderr
    assert f"weights of {trained / 'model_final.pth'}, with its configuration" in ran.stdout
    size = (tmp_path / "small.pth").stat().st_size / 1e6
    again = vireid("convert", f"{trained}@best", "--weights-only", "--output", "best.pth", cwd=tmp_path)
    assert f"weights of {trained / 'model_best.pth'}" in again.stdout, again.stderr
    assert f"wrote small.pth: {size:.1f} MB, where the checkpoint has" in ran.stdout


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("nowhere --weights-only --output small.pth", "'nowhere' does not exist"),
        ("run --weights-only", "--weights-only takes one run and --output"),
        ("agw a.t b.pth --weights-only --output c.pth", "--weights-only takes one run and --output"),
        ("agw a.t", "needs LAYOUT, source and target"),
        ("agw2 a.t b.pth", "layout: unknown value 'agw2'; available: adca, agw"),
    ],
)
def test_convert_of_wrong_arguments_is_one_error(tmp_path: Path, words: str, said: str) -> None:
    ran = vireid("convert", *words.split(), cwd=tmp_path)
    assert ran.returncode in (1, 2)
    assert said in ran.stderr, ran.stderr
    assert "Traceback" not in ran.stderr
