import argparse
from pathlib import Path

import pytest
from fastreid.engine import default_argument_parser
from helpers import ROOT, SCRIPTS, python, vireid
from speed_parts.startup import command_lines

from vireid_plugins.cli import train
from vireid_plugins.cli.main import VERBS
from vireid_plugins.data.verify import LAYOUT_CHECKS

PARTS = [
    *(["synthesize", layout] for layout in ("SYSUMM01", "RegDB", "LLCM", "Market1501")),
    *(["search", part] for part in ("index", "query", "remove")),
    *(["visualize", figure] for figure in ("rank", "cmc", "dir", "tsne", "cam", "distances", "training")),
]
COMMANDS = [
    ["vireid"],
    *(["vireid", verb] for verb in VERBS),
    *(["vireid", *part] for part in PARTS),
    *([f"tools/{script}"] for script in command_lines()),
]
# Calls every --help in one interpreter; the line it prints for each says what was imported.
SCRIPT = """
import contextlib, io, runpy, sys
for words in COMMANDS:
    sys.argv = [*words, "--help"]
    sys.path[0] = words[0].rpartition("/")[0]
    text = io.StringIO()
    with contextlib.suppress(SystemExit), contextlib.redirect_stdout(text):
        if words[0] == "vireid":
            runpy.run_module("vireid_command", run_name="__main__")
        else:
            runpy.run_path(words[0], run_name="__main__")
    assert text.getvalue().startswith("usage: " + " ".join(words).split("/")[-1]), (words, text.getvalue())
    slow = sorted({"torch", "numpy", "fastreid", "vireid_plugins", "yacs", "PIL"} & set(sys.modules))
    print(*words, "imports", *(slow or ["nothing"]))
"""


def test_help_of_every_command_imports_no_torch() -> None:
    ran = python("-c", SCRIPT.replace("COMMANDS", repr(COMMANDS)))
    assert ran.stdout.splitlines() == [" ".join([*words, "imports nothing"]) for words in COMMANDS], ran.stderr


def test_help_of_vireid_lists_every_verb_in_one_line() -> None:
    lines = [line.split() for line in vireid("--help").stdout.splitlines()]
    for name, verb in VERBS.items():
        assert [name, *(verb.__doc__ or "").partition(":")[0].split()] in lines


@pytest.mark.parametrize("script", SCRIPTS)
def test_script_has_the_help_of_its_verb(script: str) -> None:
    of_script = python(script, "--help", COLUMNS="2000").stdout
    of_verb = vireid(SCRIPTS[script], "--help", COLUMNS="2000").stdout
    assert of_script.replace(f"usage: {Path(script).name}", f"usage: vireid {SCRIPTS[script]}") == of_verb


def test_scripts_are_all_verbs_but_those_that_measure_the_repository() -> None:
    assert {*SCRIPTS.values(), "crop", "serve", "evaluate", "keys", "sweep", "zoo", "collect", "compare"} == set(VERBS)
    files = {str(file.relative_to(ROOT)) for file in (ROOT / "tools").glob("[!_]*.py")}
    assert {file for file in files if "run_script" in (ROOT / file).read_text()} == set(SCRIPTS)


def test_train_takes_the_arguments_of_fastreid() -> None:
    parser = argparse.ArgumentParser()
    train.add_arguments(parser)
    words = ["--config-file", "a.yml", "--resume", "--eval-only", "--num-gpus", "2", "--machine-rank", "1", "A", "b"]
    for given in ([], words):
        theirs = vars(default_argument_parser().parse_args(given))
        ours = vars(parser.parse_args(given))
        assert {name: ours.pop(name) for name in theirs} == theirs
        assert ours == {"quiet": False, "dry_run": False, "print_config": False}


def test_verify_names_every_data_set_that_it_checks() -> None:
    assert "{" + ",".join(LAYOUT_CHECKS) + "}" in vireid("verify", "--help").stdout


def test_vireid_without_a_verb_lists_the_verbs(tmp_path: Path) -> None:
    ran = vireid(cwd=tmp_path)
    assert ran.returncode == 2
    assert "the following arguments are required: VERB" in ran.stderr
    unknown = vireid("unknown", cwd=tmp_path)
    assert unknown.returncode == 2
    assert all(verb in unknown.stderr for verb in VERBS)


def test_script_without_the_package_says_in_one_line_what_to_install() -> None:
    # -S: without site-packages nothing is installed.
    ran = python("-S", "tools/train_net.py", "--help")
    assert ran.returncode == 1
    assert ran.stdout == ""
    (line,) = ran.stderr.splitlines()
    assert line.startswith("error: vireid_plugins is not installed")
    assert line.endswith("pip install -e .")
