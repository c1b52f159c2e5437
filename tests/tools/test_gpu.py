"""`make gpu` on a machine without a CUDA device: what it refuses, and the dry run of its tests and of its table."""

import ast
import importlib.util
import json
import os
import re
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import torch
from _subjects import subjects
from helpers import HANG, ROOT, UNLABELED, commands, often
from on_device import METHODS
from speed_parts import gpu
from speed_parts.measure import Subject, measure, run_here

KIT = ROOT / "tests" / "gpu" / "kit.py"
# Methods of the dry run, and the test that test_launch covers on a CPU.
FEW = ("one_stream", "wrim")
LEFT_OUT = [*(name for name in METHODS if name not in FEW), "two_ranks"]


@pytest.fixture(scope="module")
def kit() -> Any:
    spec = importlib.util.spec_from_file_location("gpu_kit", KIT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def bare(*words: str) -> subprocess.CompletedProcess[str]:
    """Run the kit in an interpreter that has the standard library alone."""
    command = [sys.executable, "-I", "-S", str(KIT), *words]
    return subprocess.run(command, capture_output=True, text=True, timeout=HANG)


def test_kit_without_modules_names_each_in_a_line_and_runs_nothing(kit: Any) -> None:
    ran = bare()
    assert (ran.returncode, ran.stdout) == (2, "")
    lines = ran.stderr.splitlines()
    assert len(lines) == len(kit.MODULES)
    for line, (name, how) in zip(lines, kit.MODULES.items(), strict=True):
        assert line.startswith("error: ")
        assert line.endswith(f"has no module '{name}': {sys.executable} -m pip install {how}")


def test_kit_names_every_requirement_of_the_package(kit: Any) -> None:
    """What setup.py installs, and fast-reid and pytest."""
    call = next(
        node for node in ast.walk(ast.parse((ROOT / "setup.py").read_text()))
        if isinstance(node, ast.keyword) and node.arg == "install_requires"
    )  # fmt: skip
    required = {re.split(r"[<>=]", word)[0] for word in ast.literal_eval(call.value)}
    assert {how.split()[-1].split("==")[0] for how in kit.MODULES.values()} == required | {"fastreid", "pytest"}
    assert not kit.missing()


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is CUDA")
def test_kit_without_a_device_says_so_in_a_line_and_runs_nothing(kit: Any, capsys: pytest.CaptureFixture[str]) -> None:
    assert kit.main([]) == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert re.fullmatch(r"error: torch .* sees no CUDA device; `make gpu GPU_DEVICE=cpu` is a dry run.*\n", said.err)


@pytest.mark.parametrize(("codes", "expected"), [([0, 0], 0), ([1, 0], 1), ([0, 1], 1)])
def test_kit_runs_the_tests_then_the_table_and_fails_if_one_does(
    kit: Any, monkeypatch: pytest.MonkeyPatch, codes: list[int], expected: int
) -> None:
    called: list[list[str]] = []

    def run(words: list[str], env: dict[str, str], **_: Any) -> Any:
        assert env["VIREID_GPU_DEVICE"] == "cpu"
        called.append(words[1:])
        return subprocess.CompletedProcess(words, codes[len(called) - 1])

    monkeypatch.setattr(kit.subprocess, "run", run)
    assert kit.main(["--device", "cpu", "--seconds", "100"]) == expected
    tests, table = called
    assert tests[:3] == ["-m", "pytest", "tests/gpu"]
    assert table[:4] == ["tools/benchmarks/speed.py", "gpu", "--device", "cpu"]
    assert 1 <= int(table[table.index("--seconds") + 1]) <= 100
    # A dry run leaves the table of a device alone.
    assert Path(table[table.index("--json") + 1]).parent != kit.TABLE.parent


def test_kit_stops_what_takes_too_long_and_fails(kit: Any, capsys: pytest.CaptureFixture[str]) -> None:
    assert not kit.ran(["-c", "import time; time.sleep(600)"], dict(os.environ), 0.2)
    assert "was stopped after 0 s" in capsys.readouterr().out


def dry_run(kit: Any, out: Path, *more: str, **env: str) -> Any:
    """Run tests/gpu on the CPU, forked from where everything is imported."""
    pytest_itself = str(Path(pytest.__file__).parent / "__main__.py")
    words = [pytest_itself, *kit.PYTEST[2:], "-p", "no:cacheprovider", "--basetemp", str(out), *more]
    return commands().run(words, ROOT, {**kit.environment("cpu", 1e6), **env}, HANG)


def test_dry_run_of_two_methods_passes_every_test(kit: Any, tmp_path: Path) -> None:
    ran = dry_run(kit, tmp_path / "out", "-k", "not (" + " or ".join(LEFT_OUT) + ")")
    assert ran.code == 0, ran.said
    skipped = set(re.findall(r"^SKIPPED .*?: (.*)$", ran.out, re.MULTILINE))
    assert all("float16 needs a CUDA device" in reason or "meta device" in reason for reason in skipped)
    passed = re.search(r"(\d+) passed", ran.out)
    assert passed is not None
    assert int(passed[1]) > len(list(KIT.parent.glob("test_*.py")))


def test_dry_run_without_time_fails_by_name(kit: Any, tmp_path: Path) -> None:
    ran = dry_run(kit, tmp_path / "out", "-k", "ranking", "-rf", VIREID_GPU_SECONDS="0")
    assert ran.code == 1
    assert re.search(r"not reached within 0 s", ran.out), ran.said


def test_subjects_are_every_method_and_layout_and_two_that_are_compiled() -> None:
    ways = {way.removeprefix("this package, bfloat16, ") for way in (one.way for one in subjects("gpu"))}
    assert ways == {gpu.BARE, "channels last", "channels first", "MODEL.COMPILE"}
    for way in ways:
        tasks = [one.task for one in subjects("gpu") if one.way.endswith(way)]
        assert len(tasks) == (2 if way == "MODEL.COMPILE" else len(gpu.METHODS))
    assert {method.removesuffix("_released") for method in METHODS} == {*gpu.METHODS, *UNLABELED}


OURS = "this package, bfloat16, channels first"


@pytest.mark.parametrize("way", often([gpu.BARE, OURS], OURS))
def test_run_here_takes_steps_and_counts_their_images(way: str, tmp_path: Path) -> None:
    (subject,) = (one for one in subjects("gpu") if one.task == "one-stream" and one.way == way)
    row = run_here(subject, tmp_path, "cpu", 1).as_json()
    # 2 identities x 2 images x 2 modalities.
    assert (row["items"], row["warm_up"], row["repeats"]) == (8, 1, 1)
    assert row["fastest_seconds"] <= row["median_seconds"] <= row["slowest_seconds"]
    assert json.dumps(row)


def waiting(folder: Path, device: str) -> Any:
    """A subject whose preparation hangs."""
    time.sleep(HANG)


def test_measure_stops_a_subject_that_takes_too_long(tmp_path: Path) -> None:
    with pytest.raises(TimeoutError, match="stopped after 0 s"):
        measure(Subject("a task", "a way", waiting), tmp_path, "cpu", 1, limit=0.2)


@pytest.mark.slow
def test_dry_run_of_every_method_and_the_table_passes() -> None:
    ran = subprocess.run(
        [sys.executable, str(KIT), "--device", "cpu"], cwd=ROOT, capture_output=True, text=True, timeout=2 * 3600
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr
