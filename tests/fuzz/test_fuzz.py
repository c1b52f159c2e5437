"""Changed input of every kind is taken or refused with one of the package's errors, and ends no process."""

import json
from pathlib import Path

import pytest
from helpers import often, python

RUN = Path(__file__).with_name("run.py")
# Each takes a few seconds. The examples are the same every time; `make fuzz` tries others.
EXAMPLES = {
    "images": 300,
    "yaml": 60,
    "lists": 150,
    "mat": 60,
    "npz": 100,
    "checkpoints": 25,
    "galleries": 150,
    "commands": 50,
}


@pytest.mark.parametrize("kind", often(EXAMPLES, "yaml", "checkpoints"))
def test_fuzz_of_a_kind_has_no_fault(kind: str, tmp_path: Path) -> None:
    words = [kind, "--examples", str(EXAMPLES[kind]), "--folder", str(tmp_path)]
    ran = python(str(RUN), *words)
    last = tmp_path / "last_example.txt"
    assert ran.returncode in (0, 1), (ran.stderr[-2000:], last.exists() and last.read_text())
    count = json.loads(ran.stdout.splitlines()[-1])
    assert count["faults"] == {}
    assert count["tries"] >= EXAMPLES[kind] // 2
    # Neither all good nor all refused: then nothing would be tried.
    assert 0 < count["refused"] < count["tries"]


@pytest.mark.slow
def test_fuzz_finds_a_fault_that_was_planted(tmp_path: Path) -> None:
    """A reader that fails on a few inputs, in place of one of the package's."""
    script = tmp_path / "planted.py"
    script.write_text(f"""
import sys
sys.argv = ["run.py", "images", "--examples", "50", "--folder", {str(tmp_path)!r}]
sys.path[:0] = [{str(RUN.parent)!r}, {str(RUN.parent.parent)!r}]
import kinds, run
def faulty(path, size):
    raise IndexError if open(path, "rb").read()[-1] == 0 else kinds.Image.UnidentifiedImageError
kinds.read_image = faulty
sys.exit(run.main())
""")
    ran = python(str(script))
    assert ran.returncode == 1, ran.stderr[-2000:]
    faults = json.loads(ran.stdout.splitlines()[-1])["faults"]
    assert any(name.startswith("UnidentifiedImageError at ") for name in faults), faults
