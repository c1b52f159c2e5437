import sys
from pathlib import Path

import pytest
from helpers import ROOT, python

from vireid_plugins.compat.torchvision_import import _Finder, repair_torchvision
from vireid_plugins.errors import InstallError

LOAD = (
    "import importlib.util, sys, types\n"
    "package = types.ModuleType('vireid_plugins'); package.__path__ = [sys.argv[1] + '/vireid_plugins']\n"
    "sys.modules['vireid_plugins'] = package\n"
    "compat = types.ModuleType('vireid_plugins.compat'); compat.__path__ = [sys.argv[1] + '/vireid_plugins/compat']\n"
    "sys.modules['vireid_plugins.compat'] = compat\n"
    "from vireid_plugins.compat import torchvision_import as t\n"
    "t.repair_torchvision(); import torchvision; print('declared', len(t._libraries))\n"
)
HEALTHY = (
    "import torch\nlibrary = torch.library.Library('torchvision', 'DEF')\nlibrary.define('nms(Tensor d) -> Tensor')\n"
)


@pytest.fixture
def run(tmp_path: Path):
    """Import a torchvision of the given source through our import, in a process of its own."""

    def import_it(source: str, then: str = ""):
        (tmp_path / "torchvision").mkdir()
        (tmp_path / "torchvision" / "__init__.py").write_text(source)
        return python("-c", LOAD + then, str(ROOT), PYTHONPATH=str(tmp_path))

    return import_it


def test_repair_torchvision_leaves_a_healthy_one_untouched(run) -> None:
    ran = run(HEALTHY)
    assert ran.stdout.strip() == "declared 0", ran.stderr


def test_torchvision_import_after_an_early_declaration_is_one_error(run) -> None:
    early = "import torch\nt = torch.library.Library('torchvision', 'FRAGMENT')\nt.define('nms(Tensor d) -> Tensor')\n"
    ran = run(early + HEALTHY)
    assert ran.returncode
    assert "InstallError" in ran.stderr


def test_repair_torchvision_declares_a_missing_operator(run) -> None:
    # What torchvision's own registration of fake kernels asks for first.
    ran = run("import torch\ntorch._C._dispatch_has_kernel_for_dispatch_key('torchvision::nms', 'Meta')\n")
    assert ran.stdout.strip() == "declared 1", ran.stderr


def test_repair_torchvision_at_any_other_trouble_names_the_matching_pair(run) -> None:
    ran = run("raise RuntimeError('undefined symbol')")
    assert ran.returncode
    assert "undefined symbol" in ran.stderr
    assert "pip install torch==" in ran.stderr


def test_repair_torchvision_keeps_the_packages_own_loader(run) -> None:
    ran = run(
        "", "print(type(torchvision.__spec__.loader).__name__, torchvision.__loader__ is torchvision.__spec__.loader)"
    )
    assert ran.stdout.split()[-2:] == ["SourceFileLoader", "True"], ran.stderr


def test_repair_torchvision_that_is_not_installed_is_one_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "torchvision", raising=False)
    monkeypatch.setattr(sys, "meta_path", [one for one in sys.meta_path if not isinstance(one, _Finder)])
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(InstallError, match="torchvision is not installed"):
        repair_torchvision()
