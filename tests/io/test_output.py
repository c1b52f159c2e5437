"""What commands print, where it goes, and what becomes of it; in light processes that import no torch."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from helpers import HANG, ROOT

RUN = (
    "import os, sys, pathlib\nfrom vireid_command import plain\n"
    "run = plain('vireid_plugins.cli._common').run\n"
    "def main():\n{}\n"
    "run(main)\n"
)


def command(body: str, *more: str, **options: object) -> "subprocess.CompletedProcess[bytes]":
    """Run a verb with this body."""
    script = RUN.format("".join(f"    {line}\n" for line in body.splitlines()))
    streams = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, **options}
    return subprocess.run([sys.executable, *more, "-c", script], cwd=ROOT, timeout=HANG, **streams)  # type: ignore[call-overload,no-any-return]


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "utf-8", "cp1252"])
def test_run_prints_what_an_encoding_lacks_in_other_words(encoding: str) -> None:
    text = "1 ± 2 → \u4eba \udcff"
    ran = command(
        f"print({text!r})\nprint({text!r}, file=sys.stderr)", env={**os.environ, "PYTHONIOENCODING": encoding}
    )
    assert ran.returncode == 0, ran.stderr
    plus_minus = "±" if encoding != "ascii" else "+-"
    for said in (ran.stdout, ran.stderr):
        assert f"1 {plus_minus} 2 " in said.decode(encoding)
        assert "\\udcff" in said.decode(encoding)


@pytest.mark.parametrize("flags", [[], ["-u"]], ids=["buffered", "unbuffered"])
@pytest.mark.parametrize("which", ["stdout", "stderr"])
def test_run_goes_on_when_its_reader_has_gone(tmp_path: Path, which: str, flags: list[str]) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    body = (
        f"for n in range(20000):\n    print(n, file=sys.{which})\n"
        f"os.write({1 if which == 'stdout' else 2}, b'by a library')\n"
        f"pathlib.Path({str(tmp_path / 'x.json')!r}).write_text('results')"
    )
    ran = command(body, *flags, **{which: writing})
    os.close(writing)
    assert ran.returncode == 0
    assert not ran.stderr
    assert (tmp_path / "x.json").read_text() == "results"


def test_run_without_standard_output_works() -> None:
    ran = command("print(1)\nprint(2, file=sys.stderr)", preexec_fn=lambda: os.close(1))
    assert (ran.returncode, ran.stderr) == (0, b"2\n")


@pytest.mark.skipif(sys.platform != "linux", reason="/dev/full")
def test_run_whose_output_goes_to_a_full_disk_says_so_in_the_end(tmp_path: Path) -> None:
    file = tmp_path / "x.json"
    with Path("/dev/full").open("wb") as full:
        ran = command(f"print('scores')\npathlib.Path({str(file)!r}).write_text('results')", stdout=full)
    assert ran.returncode == 1
    assert ran.stderr == b"error: standard output cannot be written: No space left on device\n"
    assert file.read_text() == "results"


def test_run_that_is_interrupted_says_so() -> None:
    ran = command("raise KeyboardInterrupt")
    assert (ran.returncode, ran.stderr) == (130, b"interrupted\n")
