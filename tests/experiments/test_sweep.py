"""Sweeps: what runs, what is skipped, what failed, and what a kill leaves to do."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import fake_trainings as fakes
import pytest
from helpers import HANG, ROOT, SMALL, SMALL_FRESH, python, vireid

from vireid_plugins.config import load_config
from vireid_plugins.errors import ConfigError, LaunchError, StoppedError
from vireid_plugins.experiments.local import LocalExecutor
from vireid_plugins.experiments.outcomes import last_error, open_console
from vireid_plugins.experiments.plan import plan_runs
from vireid_plugins.experiments.sweep import run_sweep
from vireid_plugins.experiments.sweep_file import SweepFile

RATES = ({"SOLVER.BASE_LR": 0.1}, {"SOLVER.BASE_LR": 0.5}, {"SOLVER.BASE_LR": 0.9})


def sweep_of(folder: Path, settings: object = RATES, **more: object) -> SweepFile:
    return SweepFile(folder / "s.yml", "SYSU/one_stream.yml", folder / "out", settings, **more)  # type: ignore[arg-type]


def test_sweep_goes_on_after_a_failure_and_tries_only_that_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fakes.install(monkeypatch)
    said: list[str] = []
    for attempt in (1, 2):
        with pytest.raises(LaunchError) as caught:
            run_sweep(sweep_of(tmp_path, jobs=2), [], said.append)
        assert "1 of 3 runs failed" in str(caught.value)
        assert str(caught.value).endswith("base_lr-0.5: error: of this run")
        counts = [len(fakes.starts(tmp_path / "out" / f"base_lr-{rate}")) for rate in (0.1, 0.5, 0.9)]
        assert counts == [1, attempt, 1]
    assert said[3] == "3 runs: 2 finished, 1 failed"
    assert said[-1] == "3 runs: 2 finished before, 1 failed"
    # What had saved something is continued.
    assert [line.split()[1] for line in fakes.starts(tmp_path / "out" / "base_lr-0.5")] == ["False", "True"]


def test_sweep_with_other_keys_of_the_test_says_that_scores_stay(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fakes.install(monkeypatch)
    said: list[str] = []
    one = sweep_of(tmp_path, RATES[:1])
    run_sweep(one, [], said.append)
    folder = tmp_path / "out" / "base_lr-0.1"
    (folder / "config.yaml").write_text(load_config("SYSU/one_stream.yml", plan_runs(one, RATES[:1])[0].words).dump())
    run_sweep(one, ["TEST.AIM.ENABLED", "True"], said.append)
    assert said[2] == (
        "base_lr-0.1: finished before, with other values of TEST.AIM.ENABLED, by which its scores stay; to score it by "
        f"those of now: vireid evaluate {folder} KEY=value ..."
    )


def test_sweep_on_devices_gives_each_run_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fakes.install(monkeypatch)
    monkeypatch.setenv("FAKE_SECONDS", "0.3")
    settings = [{"SEED": seed} for seed in range(4)]
    run_sweep(sweep_of(tmp_path, settings, devices=["0", "cuda:3"]), [], lambda _: None)
    used = [fakes.starts(tmp_path / "out" / f"seed-{seed}")[0].split()[2] for seed in range(4)]
    assert sorted(used) == ["0", "0", "3", "3"]


def test_sweep_runs_as_many_at_a_time_as_it_may(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fakes.install(monkeypatch)
    alive: list[int] = []
    executor = LocalExecutor("SYSU/one_stream.yml", jobs=2)
    runs = plan_runs(sweep_of(tmp_path, [{"SEED": seed} for seed in range(5)]), [{"SEED": seed} for seed in range(5)])
    begin = LocalExecutor._start

    def start(self: LocalExecutor, *given: object) -> None:
        begin(self, *given)  # type: ignore[arg-type]
        alive.append(len(self._started))

    monkeypatch.setattr(LocalExecutor, "_start", start)
    monkeypatch.setenv("FAKE_SECONDS", "0.2")
    ended = executor.run(runs, lambda _: None)
    assert [outcome.run for outcome in ended] == runs
    assert max(alive) == 2


def test_sweep_that_is_stopped_ends_its_runs_and_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fakes.install(monkeypatch)
    monkeypatch.setenv("FAKE_SECONDS", str(HANG))
    # A shell's background ignores it.
    before = signal.getsignal(signal.SIGINT)
    begin = LocalExecutor._start

    def start(self: LocalExecutor, *given: object) -> None:
        begin(self, *given)  # type: ignore[arg-type]
        os.kill(os.getpid(), signal.SIGINT)

    monkeypatch.setattr(LocalExecutor, "_start", start)
    with pytest.raises(StoppedError, match="3 of 3 runs were stopped; the same command continues them"):
        run_sweep(sweep_of(tmp_path), [], lambda _: None)
    assert signal.getsignal(signal.SIGINT) is before


def wait_for(condition: object, what: str) -> None:
    end = time.monotonic() + HANG
    while not condition():  # type: ignore[operator]
        assert time.monotonic() < end, f"{what} did not happen"
        time.sleep(0.05)


@pytest.mark.skipif(sys.platform != "linux", reason="processes end with their parent on Linux")
def test_sweep_that_is_killed_and_started_again_ends_with_the_same_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "out"
    (tmp_path / "s.yml").write_text(f"config: SYSU/one_stream.yml\noutput: {out}\nseeds: [0, 1, 2, 3]\njobs: 2\n")
    words = [sys.executable, str(ROOT / "tests" / "fake_trainings.py"), str(tmp_path / "s.yml")]
    paths = os.pathsep.join(str(ROOT / part) for part in ("tests", "."))
    env = {**os.environ, "PYTHONPATH": paths, "FAKE_SECONDS": str(HANG), "OMP_NUM_THREADS": "1"}
    killed = subprocess.Popen(words, env=env, cwd=ROOT)
    try:
        running = [out / f"seed-{seed}" for seed in (0, 1)]
        wait_for(lambda: all(fakes.starts(folder) for folder in running), "the start of two runs")
        children = [int(fakes.starts(folder)[0].split()[0]) for folder in running]
    finally:
        killed.kill()
        killed.wait()
    wait_for(lambda: not any(Path(f"/proc/{pid}/exe").exists() for pid in children), "the end of the runs")

    fakes.install(monkeypatch)
    monkeypatch.setenv("FAKE_SECONDS", "0")
    settings = [{}]
    ended = run_sweep(sweep_of(tmp_path, settings, seeds=[0, 1, 2, 3], jobs=2), [], lambda _: None)
    assert [outcome.run.name for outcome in ended] == [f"seed-{seed}" for seed in range(4)]
    assert {file.name for file in out.iterdir() if file.is_dir()} == {f"seed-{seed}" for seed in range(4)}
    assert [len(fakes.starts(out / f"seed-{seed}")) for seed in range(4)] == [2, 2, 1, 1]
    assert [fakes.starts(out / f"seed-{seed}")[-1].split()[1] for seed in range(4)] == [
        "True",
        "True",
        "False",
        "False",
    ]


def test_sweep_in_an_output_of_a_sweep_that_runs_is_one_error(tmp_path: Path) -> None:
    lock = "import sys, filelock; x = filelock.FileLock(sys.argv[1]); x.acquire(); print(1, flush=True); input()"
    (tmp_path / "out").mkdir()
    other = subprocess.Popen(
        [sys.executable, "-c", lock, str(tmp_path / "out" / ".lock")], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    try:
        assert other.stdout is not None
        other.stdout.readline()
        with pytest.raises(ConfigError, match="is in use by another run"):
            run_sweep(sweep_of(tmp_path), [], lambda _: None)
    finally:
        other.communicate()


@pytest.mark.parametrize(
    ("text", "last"),
    [
        ("a\nerror: x\nb\n", "error: x"),
        ("a\n\n", "a"),
        ("", ""),
        ("1%\r2%\r\x1b[31merror: red\x1b[0m\n", "error: red"),
        ("é" * 60000 + "\nlast\n", "last"),
    ],
)
def test_last_error_is_the_line_to_show(tmp_path: Path, text: str, last: str) -> None:
    (tmp_path / "console.txt").write_text(text)
    assert last_error(tmp_path / "console.txt") == last
    assert last_error(tmp_path / "none") == ""


def test_open_console_keeps_those_of_earlier_attempts(tmp_path: Path) -> None:
    for attempt in ("first", "second", "third"):
        console = open_console(tmp_path / "run")
        console.write(attempt)
        console.close()
    said = {file.name: file.read_text() for file in (tmp_path / "run").iterdir()}
    assert said == {"console.1.txt": "first", "console.2.txt": "second", "console.txt": "third"}


def test_sweep_trains_collects_and_lists(little_tree: Path, tmp_path: Path) -> None:
    """Two trainings as a user starts them, one of which cannot start."""
    (tmp_path / "s.yml").write_text(
        f"config: SYSU/one_stream.yml\noutput: {tmp_path / 'out'}\nruns:\n"
        "  - {SEED: 0}\n  - {SEED: 1, MODEL.WEIGHTS: /nowhere.pth}\njobs: 2\n"
    )
    listed = vireid("sweep", str(tmp_path / "s.yml"), "--dry-run", *SMALL)
    assert listed.returncode == 0, listed.stderr
    assert f"{tmp_path / 'out' / 'seed-0'}  SEED=0" in listed.stdout
    assert listed.stdout.endswith("2 runs\n")
    assert not (tmp_path / "out").exists()
    # A fresh process: the server of `vireid` forks, and the sweep starts processes.
    ran = python(
        "-m", "vireid_plugins", "sweep", str(tmp_path / "s.yml"), *SMALL_FRESH, FASTREID_DATASETS=str(little_tree)
    )
    assert ran.returncode == 1, ran.stdout + ran.stderr
    assert "seed-0: finished" in ran.stdout
    assert "1 of 2 runs failed" in ran.stderr
    assert "error: checkpoint '/nowhere.pth' does not exist" in ran.stderr
    collected = vireid("collect", str(tmp_path / "out"))
    assert collected.returncode == 0, collected.stderr
    row = next(line for line in collected.stdout.splitlines() if "sysu/official/all/1shot" in line)
    assert "±" not in row
    assert row.split("|")[3].strip() == "1"
