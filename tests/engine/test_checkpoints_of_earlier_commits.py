"""Runs that an earlier commit saved go on here, with everything that they were saved with.

The manifests in `fixtures/checkpoints` are of the commit before the package's modules were moved, those of MPANet,
SAAI, PMT and RLE of the first one that has them all; see `make_checkpoint_manifests.py`. What they call for is named as
that commit named it, keys of the configuration included.
"""

import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch
from checkpoint_manifests import FOLDER, describe, differences, fill, manifest_of
from fastreid.modeling.meta_arch import build_model
from helpers import HANG, ROOT, often, python

from vireid_plugins.config import CfgNode, config_path, get_cfg
from vireid_plugins.config.renamed import LOGGED
from vireid_plugins.engine import Trainer, load_model
from vireid_plugins.visualize.training_curves import SCORES

# The earlier commit's networks were fast-reid's own.
pytestmark = pytest.mark.usefixtures("wide_resnet")
# Those that are trained on by the earlier commit as well.
CONTINUED = ("deen", "wrim")
METHODS = sorted(file.stem for file in FOLDER.glob("*.json"))
# Two that are, one with a teacher, and one in phases whose heads part by modality. The others are slow tests.
OFTEN = (*CONTINUED, "rle", "pmt")
# To how many digits two orders of the same sums agree after three steps in double precision.
AGREEMENT = 1e-12
# Where a run stands. `save` is told it by its caller.
POSITION = ("epoch", "iteration", "iters_per_epoch", "metric")


@dataclass
class Earlier:
    """A run of an earlier commit: its manifest, its last checkpoint and its folder."""

    manifest: dict[str, Any]
    checkpoint: dict[str, Any]
    folder: Path

    @property
    def weights(self) -> dict[str, torch.Tensor]:
        """What is evaluated: the average, where there is one."""
        return self.checkpoint.get("average", self.checkpoint)["model"]


@pytest.mark.parametrize("method", sorted({*METHODS} - {*OFTEN}))
def test_network_of_an_earlier_run_has_the_names_and_shapes_of_its_checkpoint(method: str, tmp_path: Path) -> None:
    """What would not be noticed before the slow tests otherwise."""
    manifest = manifest_of(method)
    saved = manifest["checkpoint"]["dict"]
    (tmp_path / "config.yaml").write_text(saved["vireid"]["dict"]["config"])
    with torch.device("meta"):
        model = build_model(cfg_of(tmp_path / "config.yaml", "MODEL.DEVICE", "meta"))
    assert describe(model.state_dict()) == saved["model"]
    assert {name for name, one in model.named_parameters() if one.requires_grad} == {*manifest["parameters"]}


@pytest.fixture(scope="module", params=often(METHODS, *OFTEN))
def earlier(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Earlier]:
    manifest = manifest_of(request.param)
    folder = tmp_path_factory.mktemp(request.param)
    checkpoint = fill(manifest["checkpoint"])
    torch.save(checkpoint, folder / "model_0000.pth")
    (folder / "last_checkpoint").write_text("model_0000.pth")
    (folder / "config.yaml").write_text(checkpoint["vireid"]["config"])
    yield Earlier(manifest, checkpoint, folder)
    # Ten of them are a gigabyte.
    shutil.rmtree(folder)


def cfg_of(file: Path, *overrides: str) -> CfgNode:
    cfg = get_cfg()
    cfg.merge_from_file(file)
    cfg.merge_from_list([*overrides])
    return cfg


def saved_by(trainer: Trainer, folder: Path) -> dict[str, Any]:
    """What the trainer would save as it stands; an empty file is left in `folder`."""
    kept: list[dict[str, Any]] = []
    trainer.random_state.restore()
    trainer.random_state.capture()
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(torch, "save", lambda content, stream: kept.append(content))
        patched.setattr(trainer.checkpointer, "save_dir", str(folder))
        trainer.checkpointer.save("as_it_stands")
    (content,) = kept
    return content


def take_one_step(trainer: Trainer) -> int:
    """Train a step, leave the rest of the run, and return which step it was."""
    taken: list[int] = []
    run_step = trainer.run_step

    def once() -> None:
        if taken:
            raise KeyboardInterrupt
        taken.append(trainer.iter)
        run_step()

    trainer.run_step = once
    with pytest.raises(KeyboardInterrupt):
        trainer.train()
    return taken[0]


@pytest.mark.usefixtures("little_root")
def test_trainer_with_an_earlier_checkpoint_goes_on_with_all_of_it(
    earlier: Earlier, tmp_path: Path, log: pytest.LogCaptureFixture
) -> None:
    manifest, then = earlier.manifest, earlier.checkpoint
    out = ["OUTPUT_DIR", str(earlier.folder)]
    trainer = Trainer(cfg_of(config_path(manifest["config_file"]), *manifest["overrides"], *out))
    trainer.resume_or_load(resume=True)
    # Keys that later commits have added are new to the run; no other may differ.
    changed = [text for text in log.messages if "different keys" in text]
    assert not [text for text in changed if text.count(" -> ") > text.count(": absent -> ")]

    now = saved_by(trainer, tmp_path)
    taken_over = {entry: value for entry, value in then.items() if entry not in ("vireid", *POSITION)}
    assert differences(taken_over, now) == []
    facts = {key: value for key, value in then["vireid"].items() if key != "config"}
    assert differences(facts, now["vireid"]) == []
    # The shipped config with the run's overrides is still what the run was configured with, except one default.
    former = cfg_of(earlier.folder / "config.yaml", *out, "SOLVER.CHECKPOINT_KEEP", "0")
    assert now["vireid"]["config"] == former.dump()
    # The optimizer's state knows parameters by number.
    names = {id(parameter): name for name, parameter in trainer.model.named_parameters()}
    groups = trainer.optimizer.param_groups
    assert [names[id(parameter)] for group in groups for parameter in group["params"]] == manifest["parameters"]

    assert take_one_step(trainer) == then["iteration"]
    after = trainer.model.state_dict()
    assert all(bool(value.isfinite().all()) for value in after.values())
    assert not any(torch.equal(after[name], then["model"][name]) for name in after if name.endswith("running_mean"))
    assert not all(torch.equal(after[name], then["model"][name]) for name in manifest["parameters"])


@pytest.mark.usefixtures("little_root")
def test_load_model_of_an_earlier_checkpoint_uses_every_weight(earlier: Earlier) -> None:
    cfg = cfg_of(earlier.folder / "config.yaml", "OUTPUT_DIR", str(earlier.folder))
    model = load_model(cfg)
    assert list(model.state_dict()) == list(earlier.weights)
    assert differences(earlier.weights, model.state_dict()) == []
    scores = Trainer.test(cfg, model)
    assert 0 < scores["metric"] <= 100


def test_fill_gives_what_the_manifest_describes(earlier: Earlier) -> None:
    assert describe(earlier.checkpoint) == earlier.manifest["checkpoint"]


def git(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(["git", "-C", str(ROOT), *words], capture_output=True, text=True, timeout=HANG)


@pytest.fixture(scope="module")
def earlier_tree(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The commit of the manifests, checked out."""
    (commit,) = {manifest_of(method)["commit"] for method in CONTINUED}
    if shutil.which("git") is None or git("cat-file", "-e", f"{commit}^{{commit}}").returncode:
        pytest.skip(f"needs git and the history back to {commit[:7]}")
    tree = tmp_path_factory.mktemp("earlier") / "tree"
    added = git("worktree", "add", "--quiet", "--detach", str(tree), commit)
    assert added.returncode == 0, added.stderr
    yield tree
    git("worktree", "remove", "--force", str(tree))


def lines_of(folder: Path) -> list[dict[str, float]]:
    """The lines of metrics.json, by the names of today, without what depends on the clock."""
    lines = [json.loads(line) for line in (folder / "metrics.json").read_text().splitlines()]
    (protocol, *_) = [one["protocol"] for one in json.loads((folder / "evaluation.json").read_text())["results"]]

    def name(key: str) -> str:
        # Scores were once those of the first protocol, without its name.
        return f"{protocol}/{key}" if re.fullmatch(SCORES, key) else LOGGED.get(key, key)

    return [
        {name(key): one for key, one in line.items() if key not in ("time", "data_time", "eta_seconds")}
        for line in lines
    ]


def end_of(folder: Path, name: str) -> dict[str, Any]:
    content: dict[str, Any] = torch.load(folder / f"{name}.pth", weights_only=True)
    return content


@pytest.mark.slow
@pytest.mark.parametrize("method", CONTINUED)
def test_train_of_a_run_of_an_earlier_commit_ends_as_it_does_there(
    method: str, earlier_tree: Path, little_tree: Path, tmp_path: Path
) -> None:
    """DEEN draws random numbers and has an average, WRIM-Net a loss that knows the iteration.

    In double precision, since the losses of several heads are computed in one call now, which rounds in another order.
    """
    manifest = manifest_of(method)
    there = {"PYTHONPATH": str(earlier_tree), "FASTREID_DATASETS": str(little_tree)}
    found = python(
        "-c", "import importlib.util as of; print(of.find_spec('vireid_plugins').origin)", cwd=tmp_path, **there
    )
    assert Path(found.stdout.strip()).is_relative_to(earlier_tree), found.stderr

    def run(script: Path, *words: str, out: Path, **env: str) -> subprocess.CompletedProcess[str]:
        keys = [*manifest["overrides"], "OUTPUT_DIR", str(out)]
        words = (str(script), *words, "--config-file", manifest["config_file"], *keys)
        return python(str(ROOT / "tests" / "in_float64.py"), *words, cwd=tmp_path, **env)

    begun, here = tmp_path / "begun", tmp_path / "here"
    stopped = run(earlier_tree / "tests" / "engine" / "dying.py", "SIGTERM:7", out=begun, **there)
    assert "SIGTERM ended the run after iteration 7" in stopped.stderr, stopped.stderr
    shutil.copytree(begun, here)
    for out, root, env in ((begun, earlier_tree, there), (here, ROOT, {"FASTREID_DATASETS": str(little_tree)})):
        ended = run(root / "tools" / "train_net.py", "--resume", out=out, **env)
        assert ended.returncode == 0, ended.stderr
    assert differences(lines_of(begun), lines_of(here), agreement=AGREEMENT) == []
    assert [line["iteration"] for line in lines_of(here) if "total_loss" in line][-1] == 9
    parts = ("model", "average", "optimizer", "lr_sched", "checkpoints", "metric")
    then, now = end_of(begun, "model_final"), end_of(here, "last")
    assert then["model"]["backbone.stem.copies.0.blocks.0.weight"].dtype == torch.float64
    assert differences({part: then[part] for part in parts if part in then}, now, agreement=AGREEMENT) == []
