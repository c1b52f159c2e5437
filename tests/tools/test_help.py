import runpy
import sys
from pathlib import Path

import pytest
from fastreid.engine import default_argument_parser
from helpers import ROOT, python
from speed_parts.startup import command_lines

from vireid_plugins.data.verify import LAYOUT_CHECKS

COMMANDS = [
    *([script] for script in command_lines()),
    *(["make_synthetic.py", layout] for layout in ("SYSUMM01", "RegDB", "LLCM", "Market1501")),
    *(["search.py", verb] for verb in ("index", "query", "remove")),
    *(["visualize.py", figure] for figure in ("rank", "tsne", "cam", "distances", "training")),
]
# Calls every --help in one interpreter; the second line it prints for each is what got imported.
SCRIPT = """
import contextlib, io, runpy, sys
for words in COMMANDS:
    sys.argv = ["tools/" + words[0], *words[1:], "--help"]
    sys.path[0] = sys.argv[0].rpartition("/")[0]
    said = io.StringIO()
    with contextlib.suppress(SystemExit), contextlib.redirect_stdout(said):
        runpy.run_path(sys.argv[0], run_name="__main__")
    assert said.getvalue().startswith("usage: " + words[0].split("/")[-1]), (words, said.getvalue())
    slow = sorted({"torch", "numpy", "fastreid", "vireid_plugins", "yacs", "PIL"} & set(sys.modules))
    print(*words, "imports", *(slow or ["nothing"]))
"""


def test_help_of_every_command_imports_no_torch() -> None:
    ran = python("-c", SCRIPT.replace("COMMANDS", repr(COMMANDS)))
    assert ran.stdout.splitlines() == [" ".join([*words, "imports nothing"]) for words in COMMANDS], ran.stderr


def test_train_net_takes_the_arguments_of_fastreid(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(ROOT / "tools"))
    ours = runpy.run_path(str(ROOT / "tools" / "train_net.py"))["parser"]()
    words = ["--config-file", "a.yml", "--resume", "--eval-only", "--num-gpus", "2", "--machine-rank", "1", "A", "b"]
    for given in ([], words):
        assert vars(ours.parse_args(given)) == vars(default_argument_parser().parse_args(given))


def test_verify_data_names_every_data_set_that_it_checks() -> None:
    ran = python("tools/verify_data.py", "--help", cwd=ROOT)
    assert "{" + ",".join(LAYOUT_CHECKS) + "}" in ran.stdout


def test_plain_of_a_missing_package_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "lone.py").write_text("raise SystemExit('imported')")
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.syspath_prepend(str(ROOT / "tools"))
    plain = runpy.run_path(str(ROOT / "tools" / "_run.py"))["plain"]
    for missing in ("no_such_package.names", "lone.names"):
        with pytest.raises(ModuleNotFoundError, match=f"No module named '{missing.split('.')[0]}'"):
            plain(missing)
    assert "lone" not in sys.modules
