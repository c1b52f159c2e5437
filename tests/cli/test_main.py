"""How commands end."""

import os
from pathlib import Path

import pytest
from helpers import ROOT, python

from vireid_plugins.cli._common import run
from vireid_plugins.errors import InstallError, StoppedError


def raising(error: Exception) -> None:
    raise error


@pytest.mark.parametrize(("error", "code"), [(InstallError("pip install x"), 1), (StoppedError("resume it"), 75)])
def test_run_prints_errors_of_the_user_in_one_line(
    error: Exception, code: int, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        run(lambda: raising(error))
    assert ended.value.code == code
    assert capsys.readouterr().err == f"error: {error}\n"


def test_run_names_what_must_not_be_read(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        run(lambda: raising(PermissionError(13, "Permission denied", "a/b\n.yml")))
    assert ended.value.code == "error: 'a/b\\n.yml': Permission denied"


@pytest.mark.parametrize("error", [ImportError("no name 'x'"), ModuleNotFoundError("No module named 'y'"), KeyError(1)])
def test_run_leaves_defects_to_the_traceback(error: Exception) -> None:
    with pytest.raises(type(error)) as raised:
        run(lambda: raising(error))
    assert raised.value is error


def test_plain_when_the_package_is_not_imported_forgets_what_it_imported() -> None:
    script = (
        "import sys; from vireid_command import plain\n"
        "layouts = plain('vireid_plugins.checkpoints.layouts')\n"
        "print('agw' in layouts.LAYOUTS, [name for name in sys.modules if name.startswith('vireid_plugins')])\n"
        "import vireid_plugins.checkpoints\n"
        "print('agw' in vireid_plugins.checkpoints.LAYOUTS, 'torch' in sys.modules)\n"
    )
    ran = python("-c", script)
    assert ran.stdout.splitlines() == ["True []", "True True"], ran.stderr


def test_plain_of_a_missing_module_says_so() -> None:
    ran = python("-c", "from vireid_command import plain; plain('vireid_plugins.cli.nothing')")
    assert "No module named 'vireid_plugins.cli.nothing'" in ran.stderr


def test_completion_offers_verbs_flags_and_choices(tmp_path: Path) -> None:
    pytest.importorskip("argcomplete", reason="an extra of its own")
    script = "import os; os.dup2(1, 8); import vireid_command; vireid_command.main()"
    for line, expected in {
        "vireid vis": {"visualize"},
        "vireid train --ev": {"--eval-only"},
        "vireid verify ": {"SYSUMM01", "RegDB", "LLCM"},
    }.items():
        env = {"_ARGCOMPLETE": "1", "_ARGCOMPLETE_IFS": "\n", "COMP_LINE": line, "COMP_POINT": str(len(line))}
        ran = python(
            "-c", script, cwd=tmp_path, PYTHONPATH=f"{ROOT}{os.pathsep}{os.environ.get('PYTHONPATH', '')}", **env
        )
        assert {word.strip() for word in ran.stdout.split("\n") if word} >= expected, ran.stderr
