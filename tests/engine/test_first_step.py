"""What a training loads and opens from the command to its second step, in an interpreter of its own."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from helpers import HANG, ROOT, SMALL

PLUGIN = """
import json, os, sys
from pathlib import Path
from vireid_plugins.engine.trainer import Trainer

opened, begun, before_step = [], [], Trainer.before_step

def note(event, arguments):
    if event == "open" and str(arguments[0]).endswith((".jpg", ".png")):
        opened.append(str(arguments[0]))

def begin(self):
    begun.append(len(opened))
    if len(begun) == 2:
        text = json.dumps({"modules": list(sys.modules), "before": opened[: begun[0]], "step": opened[begun[0] :]})
        Path(os.environ["FOUND"]).write_text(text)
        os._exit(0)
    before_step(self)

sys.addaudithook(note)
Trainer.before_step = begin
"""
# Packages of no use to a training's first step; the compiler alone takes longer to import than torch.
UNUSED = (
    "torch._dynamo", "torch._inductor", "sympy", "torchvision", "sklearn", "scipy", "pandas", "numba", "faiss",
    "matplotlib", "tensorboard", "onnx", "onnxruntime",
)  # fmt: skip


@pytest.fixture(scope="module")
def found(little_tree: Path, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """What the plug-in saw of a run from the command to the end of the first step."""
    folder = tmp_path_factory.mktemp("first_step")
    plugin = folder / "plugin.py"
    plugin.write_text(PLUGIN)
    words = ["--plugin", str(plugin), "--config-file", "SYSU/agw.yml", *SMALL, "OUTPUT_DIR", str(folder / "run")]
    attention = ["MODEL.ATTENTION.STAGE2", "['NonLocal@1']", "MODEL.ATTENTION.STAGE3", "['NonLocal@0']"]
    environment = os.environ | {"FASTREID_DATASETS": str(little_tree), "FOUND": str(folder / "found.json")}
    command = [sys.executable, str(ROOT / "tools" / "train_net.py"), *words, *attention]
    ran = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=HANG, check=False)
    assert ran.returncode == 0, ran.stderr
    return json.loads((folder / "found.json").read_text())


def test_first_step_of_a_training_loads_nothing_that_it_does_not_use(found: Any) -> None:
    assert "fastreid.engine" in found["modules"]
    assert sorted(set(found["modules"]) & set(UNUSED)) == []


def test_images_are_opened_by_the_step_that_draws_them_alone(found: Any) -> None:
    assert found["before"] == []
    # SOLVER.IMS_PER_BATCH, of which some are drawn twice.
    assert len(found["step"]) == 16
