"""Files of `--plugin`: loaded once in every process, and one error with its line if they are broken."""

import os
import pickle
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from helpers import SMALL, python, vireid

from vireid_plugins.config import plugin_files
from vireid_plugins.config.plugin_files import load_plugin_files, loaded_files, named_files, use_plugin_files
from vireid_plugins.engine.checkpoint import load_checkpoint
from vireid_plugins.errors import ConfigError
from vireid_plugins.processes import in_processes

LOSS = """
import numpy as np
from vireid_plugins.data.transforms import TRANSFORM_REGISTRY
from vireid_plugins.modeling.losses import LOSS_REGISTRY, BranchLoss


@LOSS_REGISTRY.register()
class PluggedGap(BranchLoss):
    '''The difference of the mean norms.

    Args:
        power: exponent.
    '''

    def __init__(self, *, power: float = 2.0, scale: float = 1.0) -> None:
        super().__init__(scale=scale)
        self.power = power

    def on_branch(self, branch, inputs):
        visible, infrared = inputs.by_modality(branch.pooled.float())
        return (visible.norm(dim=1).mean() - infrared.norm(dim=1).mean()).abs() ** self.power


@TRANSFORM_REGISTRY.register()
class PluggedDark:
    @classmethod
    def from_config(cls, cfg):
        return cls()

    def __call__(self, image, rng):
        return image // 2
"""


@pytest.fixture(autouse=True)
def clean(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """No files before, and none of the test's afterwards."""
    # Set first, so that it is put back also where it was absent.
    monkeypatch.setenv(plugin_files.VARIABLE, "")
    monkeypatch.setattr(plugin_files, "_loaded", set())
    path, modules = list(sys.path), set(sys.modules)
    yield
    sys.path[:] = path
    for name in set(sys.modules) - modules:
        if getattr(sys.modules[name], "__file__", None) and "plugged" in name:
            del sys.modules[name]


def written(file: Path, text: str) -> Path:
    file.write_text(text)
    return file


def number(module: object) -> int:
    return module.number()


def test_files_are_imported_once_and_may_import_their_neighbors(tmp_path: Path) -> None:
    written(tmp_path / "plugged_b.py", "VALUE = 3")
    written(tmp_path / "plugged_a.py", "from plugged_b import VALUE\nCOUNT = []\nCOUNT.append(VALUE)")
    use_plugin_files([tmp_path / "plugged_a.py", tmp_path / "plugged_a.py"])
    assert named_files() == [tmp_path / "plugged_a.py"]
    for _ in range(2):
        load_plugin_files()
    assert sys.modules["plugged_a"].COUNT == [3]
    assert loaded_files() == ["plugged_a.py"]


def test_objects_of_a_file_reach_worker_processes(tmp_path: Path) -> None:
    text = "class Number:\n    def number(self):\n        return 7\n"
    use_plugin_files([written(tmp_path / "plugged_c.py", text)])
    load_plugin_files()
    made = sys.modules["plugged_c"].Number()
    assert list(in_processes(number, [made] * 3, workers=2)) == [7, 7, 7]
    # A process that has met the module by its name does not run the file again.
    plugin_files._loaded.clear()
    load_plugin_files()
    assert pickle.loads(pickle.dumps(made)).number() == 7


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("plugged_d.py", "x = 1\n\ny = absent", r"plugged_d\.py' line 3: NameError: name 'absent' is not defined"),
        ("plugged_d.py", "x = 1\ndef f(:", r"plugged_d\.py' line 2: SyntaxError: "),
        ("plugged_d.py", "import json\njson.loads('{')", r"plugged_d\.py' line 2: JSONDecodeError"),
        ("plugged_d.py", "raise SystemExit(3)", r"plugged_d\.py' line 1: SystemExit: 3"),
        ("plugged_d.py", "import absent_module", r"line 1: ModuleNotFoundError: No module named 'absent_module'"),
        ("json.py", "", r"there is a module 'json' already .*; rename the file"),
    ],
)
def test_broken_file_is_one_error_with_its_line(tmp_path: Path, name: str, text: str, said: str) -> None:
    use_plugin_files([written(tmp_path / name, text)])
    with pytest.raises(ConfigError, match=said):
        load_plugin_files()
    assert "plugged_d" not in sys.modules
    assert loaded_files() == []


def test_names_that_are_no_modules_are_refused(tmp_path: Path) -> None:
    for name in ("my-loss.py", "loss.txt"):
        with pytest.raises(ConfigError, match=r"must be a Python file with a name like my_loss\.py"):
            use_plugin_files([written(tmp_path / name, "")])
    with pytest.raises(ConfigError, match=r"--plugin: 'absent\.py' cannot be read: No such file"):
        use_plugin_files(["absent.py"])
    assert os.environ[plugin_files.VARIABLE] == ""


def test_training_with_a_file_uses_workers_and_says_what_its_checkpoint_needs(
    little_tree: Path, tmp_path: Path
) -> None:
    written(tmp_path / "plugged_loss.py", LOSS)
    keys = [
        *("MODEL.STREAMS.BACKBONE", "build_osnet_backbone", "MODEL.BACKBONE.DEPTH", "x0_25", "OUTPUT_DIR", "out"),
        *("DATALOADER.NUM_WORKERS", "1", "MODEL.LOSSES.NAME", "['LabelSmoothCE','PluggedGap']"),
        *("MODEL.LOSSES.PLUGGED_GAP.POWER", "1.5", "INPUT.VIEWS.VISIBLE", "[['PluggedDark']]"),
    ]
    words = ["train", "--plugin", "plugged_loss.py", "--config-file", "SYSU/one_stream.yml", *SMALL, *keys]
    ran = python("-m", "vireid_plugins", *words, cwd=tmp_path, FASTREID_DATASETS=str(little_tree))
    assert ran.returncode == 0, ran.stderr
    assert "loss_plugged_gap" in ran.stdout
    checkpoint = load_checkpoint(tmp_path / "out" / "model_final.pth")
    assert checkpoint["vireid"]["plugins"] == ["plugged_loss.py"]
    scored = vireid(
        *("train", "--eval-only", "--config-file", "SYSU/one_stream.yml", *SMALL, *keys[:6]),
        cwd=tmp_path,
        FASTREID_DATASETS=str(little_tree),
    )
    assert scored.returncode == 0, scored.stderr
    assert "was trained with --plugin plugged_loss.py, which is not loaded" in scored.stdout + scored.stderr


def test_every_verb_takes_files(tmp_path: Path) -> None:
    written(tmp_path / "plugged_loss.py", LOSS)
    shown = vireid("keys", "PLUGGED_GAP", "--plugin", "plugged_loss.py", cwd=tmp_path)
    assert "MODEL.LOSSES.PLUGGED_GAP.POWER" in shown.stdout, shown.stderr
    assert "PluggedGap" in vireid("plugins", "--plugin", "plugged_loss.py", cwd=tmp_path).stdout
    assert "PluggedGap" not in vireid("plugins", cwd=tmp_path).stdout


def test_load_checkpoint_says_nothing_of_a_file_that_is_named_and_loaded_later(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("vireid_plugins.engine.checkpoint.read_weight_file", lambda file: {})
    monkeypatch.setattr(
        "vireid_plugins.engine.checkpoint.checked", lambda file, content: {"vireid": {"plugins": ["later_loss.py"]}}
    )
    for named, warned in (("", True), (str(tmp_path / "later_loss.py"), False)):
        monkeypatch.setenv(plugin_files.VARIABLE, named)
        caplog.clear()
        load_checkpoint(tmp_path / "model.pth")
        assert ("which is not loaded" in caplog.text) == warned
