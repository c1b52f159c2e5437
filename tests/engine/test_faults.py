"""Runs that die, are stopped, or find their checkpoints torn, and what is left of them."""

import json
import os
import resource
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from checkpoint_manifests import differences
from helpers import HANG, ROOT, SMALL, SMALL_FRESH, python, small_cfg

from vireid_plugins.data.synthetic import RegdbSize, SysuSize, write_regdb, write_sysu
from vireid_plugins.engine import Trainer
from vireid_plugins.engine.checkpoint import load_checkpoint
from vireid_plugins.engine.runs import find_weights
from vireid_plugins.engine.train import train
from vireid_plugins.errors import ConfigError, DataError, LossError, StoppedError

DYING = str(ROOT / "tests" / "engine" / "dying.py")
# DEEN draws from torch's generator (dropout); bf16 has a scaler beside it, the average its own weights.
KEYS = [
    *SMALL, "SOLVER.MAX_EPOCH", "3", "SOLVER.STEPS", "[2]", "SOLVER.METRICS_PERIOD", "2",
    "SOLVER.EMA_DECAY", "0.9", "MODEL.FREEZE_LAYERS", "['backbone.stem']", "SOLVER.FREEZE_ITERS", "4",
    "SOLVER.WARMUP_EPOCHS", "2", "TEST.PROTOCOLS", "['sysu/agw/all/1shot']", "MODEL.DEEN.DROPOUT", "0.3",
]  # fmt: skip


@pytest.fixture(scope="module")
def few(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data root whose epochs have five steps."""
    root = tmp_path_factory.mktemp("few")
    write_sysu(root / "SYSU-MM01", SysuSize(train=8, val=2, test=5, images=1, height=48, width=24), seed=1, workers=1)
    write_regdb(root / "RegDB", RegdbSize(identities=16, images=2, height=48, width=24), seed=1, workers=1)
    return root


def run(root: Path, out: Path, point: str, *more: str) -> subprocess.CompletedProcess[str]:
    return python(
        DYING, point, "--config-file", "configs/SYSU/deen.yml", *more, *KEYS, "OUTPUT_DIR", str(out),
        FASTREID_DATASETS=str(root),
    )  # fmt: skip


def lines_of(out: Path) -> list[dict[str, float]]:
    """The lines of metrics.json without what depends on the clock."""
    clock = ("time", "data_time", "eta_seconds")
    lines = [json.loads(line) for line in (out / "metrics.json").read_text().splitlines()]
    return [{key: value for key, value in line.items() if key not in clock} for line in lines]


@pytest.fixture(scope="module")
def whole(few: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The output folder of a run that nothing happened to."""
    out = tmp_path_factory.mktemp("whole")
    ran = run(few, out, "never")
    assert ran.returncode == 0, ran.stderr
    return out


@pytest.mark.parametrize(
    "points",
    [
        ["step:2", "half", "renamed", "line", "best", "final"],
        pytest.param(["SIGTERM:3", "half", "SIGINT:7"], marks=pytest.mark.slow),
    ],
    ids=["killed", "stopped"],
)
def test_train_resumed_is_the_run_that_nothing_happened_to(
    few: Path, whole: Path, tmp_path: Path, points: list[str]
) -> None:
    for number, point in enumerate(points):
        ran = run(few, tmp_path, point, *["--resume"] * (number > 0))
        if point.startswith("SIG"):
            assert ran.returncode == StoppedError.exit_code, ran.stderr
            assert f"{point.split(':')[0]} ended the run after iteration {point.split(':')[1]}" in ran.stderr
        else:
            assert ran.returncode == -signal.SIGKILL, ran.stderr
    ran = run(few, tmp_path, "never", "--resume")
    assert ran.returncode == 0, ran.stderr
    for file in ("model_final.pth", "last.pth"):
        expected, found = (load_checkpoint(out / file) for out in (whole, tmp_path))
        for part in ("model", "average"):
            a, b = (x[part] if part == "model" else x[part]["model"] for x in (expected, found))
            for name, value in a.items():
                assert torch.equal(value, b[name]), (file, part, name)
    torch.testing.assert_close(found["optimizer"]["state"], expected["optimizer"]["state"], rtol=0, atol=0)
    for part in ("lr_sched", "checkpoints"):
        assert found[part] == expected[part]
    assert lines_of(tmp_path) == lines_of(whole)
    assert not list(tmp_path.glob("*.partial"))
    assert {file.name for file in tmp_path.glob("*.pth")} == RUN_FILES


RUN_FILES = {"last.pth", "model_best.pth", "model_final.pth"}
REGDB = ["tools/train_regdb_splits.py", "--config-file", "configs/RegDB/one_stream.yml"]
SYSU = ["tools/train_net.py", "--config-file", "configs/SYSU/one_stream.yml"]


@pytest.mark.parametrize(
    ("words", "number", "group"),
    [
        ([*SYSU, "DATALOADER.NUM_WORKERS", "2"], signal.SIGINT, True),
        pytest.param([*SYSU, "--num-gpus", "2"], signal.SIGINT, True, marks=pytest.mark.slow),
        ([*SYSU, "--num-gpus", "2"], signal.SIGTERM, False),
        pytest.param(REGDB, signal.SIGTERM, False, marks=pytest.mark.slow),
    ],
    ids=["ctrl-c", "ctrl-c-two-processes", "term-two-processes", "term-splits"],
)
def test_train_on_a_signal_ends_every_process_and_saves_the_run(
    few: Path, tmp_path: Path, words: list[str], number: signal.Signals, group: bool
) -> None:
    """Ctrl-C goes to all processes of the terminal, also those that read images; others to the first alone."""
    script, flag, config, *more = words
    keys = ["SOLVER.MAX_EPOCH", "500", "TEST.EVAL_PERIOD", "500", "SOLVER.CHECKPOINT_PERIOD", "500"]
    keys += ["SOLVER.METRICS_PERIOD", "2"]
    options = [more, []] if more and more[0].startswith("--") else [[], more]
    command = [
        sys.executable, script, flag, config, *options[0], *SMALL_FRESH, *keys, *options[1],
        "OUTPUT_DIR", str(tmp_path),
    ]  # fmt: skip
    process = subprocess.Popen(
        command, cwd=ROOT, start_new_session=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        env={"FASTREID_DATASETS": str(few), "PATH": "", "OMP_NUM_THREADS": "1"},
    )  # fmt: skip
    deadline = time.monotonic() + HANG
    while process.poll() is None and not any(
        "total_loss" in file.read_text() for file in tmp_path.rglob("metrics.json")
    ):
        assert time.monotonic() < deadline, "no training step was written"
        time.sleep(0.05)
    if process.poll() is None:
        (os.killpg if group else os.kill)(process.pid, number)
    _, said = process.communicate(timeout=HANG)
    assert process.returncode == StoppedError.exit_code, said
    assert f"{number.name} ended the run" in said
    assert "Traceback" not in said
    (saved,) = tmp_path.rglob("*.pth")
    assert saved.name == "last.pth"
    assert load_checkpoint(saved)["iteration"] > 0


def cfg_of(out: Path, *overrides: str) -> object:
    out.mkdir(exist_ok=True)
    return small_cfg("SYSU/one_stream.yml", "OUTPUT_DIR", str(out), *overrides)


@pytest.fixture
def few_root(few: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """`few`, and `$FASTREID_DATASETS` pointing at it."""
    monkeypatch.setenv("FASTREID_DATASETS", str(few))
    return few


@pytest.fixture
def finished(trained_baseline: Path, tmp_path: Path, few_root: Path) -> Path:
    """A copy of the output folder of a baseline of two epochs."""
    return Path(shutil.copytree(trained_baseline, tmp_path / "finished"))


@pytest.fixture(scope="module")
def trained_baseline(few: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("baseline")
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("FASTREID_DATASETS", str(few))
        train(cfg_of(out, "SOLVER.MAX_EPOCH", "2"), resume=False)
    return out


LONGER = ["SOLVER.MAX_EPOCH", "3"]


def test_resume_with_torn_and_foreign_checkpoints_names_them_and_uses_the_one_before(
    finished: Path, log: pytest.LogCaptureFixture
) -> None:
    last = finished / "last.pth"
    shutil.copy(last, finished / "model_0001.pth")  # of an earlier commit
    last.write_bytes(last.read_bytes()[:-1000])
    trainer = Trainer(cfg_of(finished, *LONGER))
    trainer.resume_or_load(resume=True)
    assert trainer.checkpointer.resumed.name == "model_0001.pth"
    assert "last.pth' cannot be loaded as weights" in log.text
    (finished / "last_checkpoint").write_text("model_best.pth")
    trainer.resume_or_load(resume=True)
    assert "model_best.pth' contains weights, but no training state to resume: last.pth has it" in log.text


def test_resume_from_nothing_but_torn_checkpoints_is_one_error(finished: Path) -> None:
    for file in finished.glob("*.pth"):
        file.write_bytes(b"torn")
    (finished / "last_checkpoint").write_text("")
    with pytest.raises(DataError, match=r"nothing in '.*finished' can be resumed: '.*\.pth' cannot be loaded"):
        Trainer(cfg_of(finished, *LONGER)).resume_or_load(resume=True)


def test_resume_with_other_keys_tells_them_and_with_other_data_is_one_error(
    finished: Path, log: pytest.LogCaptureFixture
) -> None:
    Trainer(cfg_of(finished, *LONGER, "SOLVER.BASE_LR", "0.01")).resume_or_load(resume=True)
    assert "the resumed run has different keys: SOLVER.BASE_LR: 0.00035 -> 0.01, SOLVER.MAX_EPOCH: 2 -> 3" in (log.text)
    with pytest.raises(DataError, match=r"training images is .*, was .*; keys that differ: DATASETS.SYSU.TRAIN"):
        Trainer(cfg_of(finished, *LONGER, "DATASETS.SYSU.TRAIN", "train")).resume_or_load(resume=True)
    with pytest.raises(DataError, match="META_ARCHITECTURE is WRIMNet, was CrossModalityBaseline"):
        Trainer(small_cfg("SYSU/wrim.yml", *LONGER, "OUTPUT_DIR", str(finished))).resume_or_load(resume=True)


def test_resume_with_other_rates_uses_them_and_with_the_same_changes_no_bit(finished: Path) -> None:
    saved = load_checkpoint(finished / "last.pth")
    same = Trainer(cfg_of(finished, *LONGER))
    same.resume_or_load(resume=True)
    assert same.optimizer.state_dict()["param_groups"] == saved["optimizer"]["param_groups"]
    assert same.scheduler["lr_sched"].state_dict() == saved["lr_sched"]

    keys = ["SOLVER.BASE_LR", "0.01", "SOLVER.STEPS", "[1]", "SOLVER.GAMMA", "0.5"]
    other = Trainer(cfg_of(finished, *LONGER, *keys))
    other.resume_or_load(resume=True)
    for group in other.optimizer.param_groups:
        assert (group["initial_lr"], group["lr"]) == (0.01, 0.01 * 0.5)
    moments = other.optimizer.state[other.optimizer.param_groups[0]["params"][0]]
    assert torch.equal(moments["exp_avg"], saved["optimizer"]["state"][0]["exp_avg"])


def test_resume_of_a_checkpoint_with_other_contents_names_it_and_uses_the_one_before(
    finished: Path, log: pytest.LogCaptureFixture
) -> None:
    """Torn files are found when they are read; this one is whole, and its states are none."""
    last = finished / "last.pth"
    shutil.copy(last, finished / "model_0001.pth")  # of an earlier commit
    whole = torch.load(last, weights_only=True)
    states = whole["optimizer"]["state"]
    broken: dict[str, object] = {
        "optimizer": whole["optimizer"] | {"state": states | {0: states[0] | {"exp_avg": torch.ones(1)}}},
        "lr_sched": {"last_epoch": "four"},
        "random_state": {"processes": [{"python": [3, [1, 2], None], "numpy": [], "torch": 3, "cuda": None}]},
        "writers": {"scalars": {"lr": 3}, "written": {}},
        "checkpoints": {"best_metric": "high"},
    }
    trainer = Trainer(cfg_of(finished, *LONGER))
    for key, state in broken.items():
        torch.save(whole | {key: state}, last)
        trainer.resume_or_load(resume=True)
        assert trainer.checkpointer.resumed.name == "model_0001.pth"
        assert [text for text in log.messages if "last.pth'" in text and f"'{key}'" in text]


def test_train_keeps_the_weights_of_the_last_epochs_if_asked_for(finished: Path) -> None:
    cfg = cfg_of(finished, "SOLVER.MAX_EPOCH", "6", "SOLVER.CHECKPOINT_KEEP", "2")
    copy = finished / "model_0000_paper.pth"
    shutil.copy(finished / "model_final.pth", copy)
    os.utime(copy, (0, 0))
    train(cfg, resume=True)
    copy.unlink()  # somebody's own, which stays
    kept = {file.name for file in finished.glob("*.pth")}
    assert kept == RUN_FILES | {"model_0003.pth", "model_0004.pth"}
    assert (finished / "last_checkpoint").read_text() == "last.pth"
    assert {"optimizer", "random_state"} <= set(load_checkpoint(finished / "last.pth"))
    entries = {"model", "vireid", "epoch", "iteration", "iters_per_epoch", "metric"}
    assert all(set(load_checkpoint(finished / file)) == entries for file in kept - {"last.pth"})


def test_resume_of_a_finished_run_says_so_and_changes_nothing(
    finished: Path, log: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept = {file: file.read_bytes() for file in finished.iterdir() if file.is_file()}
    monkeypatch.setattr("vireid_plugins.engine.train.Trainer", lambda cfg: pytest.fail("a trainer was built"))
    assert train(cfg_of(finished, "SOLVER.MAX_EPOCH", "2"), resume=True) is None
    (finished / "last.pth").unlink()  # which only a longer training needs
    assert train(cfg_of(finished, "SOLVER.MAX_EPOCH", "2"), resume=True) is None
    assert log.text.count("The run was finished before: all 2 epochs are trained and scored.") == 2
    assert all(file.read_bytes() == content for file, content in kept.items() if file.name != "last.pth")
    with pytest.raises(DataError, match=r"model_final\.pth' cannot be resumed: SEED is 7, was 0"):
        train(cfg_of(finished, "SOLVER.MAX_EPOCH", "2", "SEED", "7"), resume=True)


@pytest.mark.parametrize("damage", [lambda file: file.unlink(), lambda file: file.write_bytes(b"torn")])
def test_resume_of_a_finished_run_writes_final_weights_that_are_torn_or_missing(
    finished: Path, damage: Callable[[Path], object]
) -> None:
    final = finished / "model_final.pth"
    kept, before = (finished / "last.pth").read_bytes(), load_checkpoint(final)
    damage(final)
    train(cfg_of(finished, "SOLVER.MAX_EPOCH", "2"), resume=True)
    assert differences(before, load_checkpoint(final)) == []
    assert (finished / "last.pth").read_bytes() == kept
    assert json.loads((finished / "evaluation.json").read_text())["provenance"]["file"] == final.name


def test_resume_of_a_finished_run_with_more_epochs_goes_on_also_in_the_files_of_an_earlier_commit(
    finished: Path, tmp_path: Path
) -> None:
    earlier = Path(shutil.copytree(finished, tmp_path / "earlier"))
    for name in ("model_0000", "model_best", "model_stopped"):
        shutil.copy(earlier / "last.pth", earlier / f"{name}.pth")
    (earlier / "last.pth").replace(earlier / "model_final.pth")
    (earlier / "last_checkpoint").write_text("model_final.pth")
    assert find_weights(str(earlier)) == earlier / "model_final.pth"
    assert train(cfg_of(earlier, "SOLVER.MAX_EPOCH", "2"), resume=True) is None
    for folder in (finished, earlier):
        train(cfg_of(folder, *LONGER), resume=True)
    ends = [load_checkpoint(folder / "model_final.pth") for folder in (finished, earlier)]
    assert [end["epoch"] for end in ends] == [2, 2]
    assert all(torch.equal(ends[0]["model"][name], tensor) for name, tensor in ends[1]["model"].items())
    assert {file.name for file in earlier.glob("*.pth")} == RUN_FILES | {"model_0000.pth"}


def test_train_over_a_finished_run_is_refused(finished: Path) -> None:
    before = {file: file.read_bytes() for file in finished.iterdir() if file.name != "log.txt"}
    with pytest.raises(
        ConfigError, match=r"already contains a run .*, which would be overwritten; continue it with --resume"
    ):
        train(cfg_of(finished), resume=False)
    assert all(file.read_bytes() == content for file, content in before.items())


@pytest.mark.usefixtures("few_root")
def test_train_in_a_folder_in_use_is_refused(tmp_path: Path) -> None:
    script = "import sys, filelock; x = filelock.FileLock(sys.argv[1]); x.acquire(); print(1, flush=True); input()"
    command = [sys.executable, "-c", script, str(tmp_path / ".lock")]
    holder = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert holder.stdout is not None
    holder.stdout.readline()
    with pytest.raises(ConfigError, match="is in use by another run"):
        train(cfg_of(tmp_path), resume=True)
    with pytest.raises(ConfigError, match="is in use by another run"):
        Trainer(cfg_of(tmp_path)).train()
    holder.kill()
    holder.wait()


def test_train_on_a_full_disk_ends_and_leaves_the_last_good_checkpoint(
    finished: Path, few: Path, tmp_path: Path
) -> None:
    """A limit on the size of files is what a process may set itself; it fails as a full disk does, in the write."""
    good = (finished / "model_final.pth").read_bytes()
    script = tmp_path / "limited.py"
    script.write_text(
        "import resource, sys; resource.setrlimit(resource.RLIMIT_FSIZE, (2**22, 2**22))\n"
        f"sys.path.insert(0, {str(ROOT / 'tools')!r})\n"
        "from _run import run_script; run_script('train')"
    )
    ran = python(
        str(script), "--config-file", "configs/SYSU/one_stream.yml", "--resume", *SMALL, *LONGER,
        "OUTPUT_DIR", str(finished), FASTREID_DATASETS=str(few),
    )  # fmt: skip
    assert resource.getrlimit(resource.RLIMIT_FSIZE)[0] != 2**22
    assert ran.returncode == 1
    assert "Traceback" not in ran.stderr
    assert "cannot be written: File too large; the last good checkpoint is" in ran.stderr
    assert (finished / "model_final.pth").read_bytes() == good
    assert (finished / "last_checkpoint").read_text() == "last.pth"
    assert not list(finished.glob("*.partial"))


SMALLEST = ["MODEL.STREAMS.BACKBONE", "build_osnet_backbone", "MODEL.BACKBONE.DEPTH", "x0_25", "SOLVER.STEPS", "[1]"]


def broken_at(trainer: Trainer, *iterations: int) -> None:
    forward = trainer.model.forward

    def broken(batch: dict) -> dict:
        losses = forward(batch)
        if trainer.model.training and trainer.iter in iterations:
            losses = {name: value * float("nan") for name, value in losses.items()}
        return losses

    trainer.model.forward = broken


def test_train_with_a_broken_loss_names_it_and_its_images_and_counts_skips(
    few_root: Path, tmp_path: Path, log: pytest.LogCaptureFixture
) -> None:
    trainer = Trainer(cfg_of(tmp_path / "a"))
    broken_at(trainer, 3)
    with pytest.raises(
        LossError, match=r"iteration 3: loss_label_smooth_ce is nan, .*cam\d/\d+/\d+\.jpg and 8 more.*no checkp"
    ):
        trainer.train()
    assert not list((tmp_path / "a").glob("*.pth"))
    keys = ["SOLVER.SKIP_NONFINITE", "1"]
    trainer = Trainer(cfg_of(tmp_path / "b", *keys))
    broken_at(trainer, 3)
    trainer.train()
    assert "Skipped the step, 1 of 1" in log.text
    assert all(torch.isfinite(value).all() for value in trainer.model.state_dict().values())
    trainer = Trainer(cfg_of(tmp_path / "c", *keys))
    broken_at(trainer, 1, 3)
    with pytest.raises(LossError, match=r"iteration 3: .* Already skipped 1 steps"):
        trainer.train()


def test_train_stopped_after_a_broken_loss_is_not_saved(few_root: Path, tmp_path: Path) -> None:
    """The signal comes before the losses are read."""
    trainer = Trainer(cfg_of(tmp_path, *SMALLEST, "SOLVER.METRICS_PERIOD", "100"))
    broken_at(trainer, 2)
    step = trainer.run_step

    def stopped() -> None:
        step()
        if trainer.iter == 2:
            os.kill(os.getpid(), signal.SIGTERM)

    trainer.run_step = stopped
    with pytest.raises(LossError, match="iteration 2: loss_label_smooth_ce is nan"):
        trainer.train()
    assert not list(tmp_path.glob("*.pth"))


def test_train_with_weights_that_a_gradient_broke_keeps_the_last_good_checkpoint(
    few_root: Path, tmp_path: Path
) -> None:
    """The losses are finite, since the last step of the epoch broke the weights."""
    trainer = Trainer(cfg_of(tmp_path, *SMALLEST, "SOLVER.MAX_EPOCH", "2", "TEST.EVAL_PERIOD", "2"))
    step, last = trainer.run_step, 2 * trainer.iters_per_epoch - 1

    def breaking() -> None:
        step()
        if trainer.iter == last:
            with torch.no_grad():
                next(iter(trainer.model.parameters())).view(-1)[0] = float("nan")

    trainer.run_step = breaking
    with pytest.raises(LossError, match=r"'last' is not saved: 1 of \d+ weights.*good checkpoint is '.*last\.pth'"):
        trainer.train()
    assert load_checkpoint(tmp_path / "last.pth")["epoch"] == 0
    assert not (tmp_path / "model_final.pth").exists()


def test_resume_with_another_score_starts_the_best_anew(finished: Path, log: pytest.LogCaptureFixture) -> None:
    before = Trainer(cfg_of(finished, *LONGER))
    before.resume_or_load()
    assert before.checkpoints.best_metric >= 0
    other = Trainer(cfg_of(finished, *LONGER, "TEST.METRIC", "euclidean"))
    other.resume_or_load()
    assert other.checkpoints.best_metric == -1
    (warning,) = [text for text in log.messages if "cannot be compared" in text]
    assert "TEST.METRIC: cosine -> euclidean; the next evaluation replaces model_best.pth" in warning
