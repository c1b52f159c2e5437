"""What a run says at its end."""

from pathlib import Path

import pytest

from vireid_plugins.config.plugin_files import VARIABLE, use_plugin_files
from vireid_plugins.engine.closing import closing


def test_closing_repeats_the_plugin_files_in_its_commands(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VARIABLE, "")
    here, elsewhere = tmp_path / "work", tmp_path / "my parts"
    for folder in (here, elsewhere):
        folder.mkdir()
        (folder / "my_loss.py").touch()
    monkeypatch.chdir(here)
    assert "--plugin" not in closing(Path("logs/a"), "the test set")
    use_plugin_files(["my_loss.py", elsewhere / "my_loss.py"])
    said = closing(Path("logs/a"), "the test set").splitlines()
    plugins = f"--plugin my_loss.py --plugin '{elsewhere}/my_loss.py'"
    assert f"  vireid evaluate {plugins} logs/a" in said
    # The drawings of `vireid visualize` have no such argument.
    assert f"  vireid visualize {plugins} rank logs/a" in said


def test_closing_names_the_files_that_are_there(tmp_path: Path) -> None:
    for name in ("evaluation.json", "evaluation_queries.npz"):
        (tmp_path / name).touch()
    said = closing(tmp_path, "the test set")
    assert "  evaluation_queries.npz  the AP of every query, which vireid compare reads\n" in said
    assert "model_final.pth" not in said
