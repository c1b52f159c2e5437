import collections
import importlib
import importlib.metadata
import sys

import pytest
from helpers import python

from vireid_plugins.compat import FASTREID_INSTALL, fastreid_import
from vireid_plugins.errors import InstallError


def test_fastreid_import_without_the_repair_fails() -> None:
    plain = python("-c", "import fastreid.data.build")
    assert plain.returncode
    assert "Error" in plain.stderr


def test_fastreid_import_leaves_no_stub_behind() -> None:
    assert "fastreid.engine" in sys.modules
    assert "torch._six" not in sys.modules
    assert not hasattr(collections, "Mapping")


def test_removed_names_restored_leaves_no_stub_when_the_import_fails() -> None:
    with pytest.raises(ModuleNotFoundError), fastreid_import.removed_names_restored():
        importlib.import_module("torch._six.missing")
    assert "torch._six" not in sys.modules
    assert not hasattr(collections, "Mapping")


def test_check_fastreid_version_without_fastreid_is_one_error_with_the_command(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str) -> str:
        raise importlib.metadata.PackageNotFoundError(name)

    monkeypatch.setattr(importlib.metadata, "version", missing)
    with pytest.raises(InstallError, match="not installed") as error:
        fastreid_import.check_fastreid_version()
    assert FASTREID_INSTALL in str(error.value)


def test_check_fastreid_version_of_another_version_is_one_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.metadata, "version", lambda _: "1.3.0")
    with pytest.raises(InstallError, match=r"fastreid 1\.3\.0 is installed, but 1\.4\.0 is required"):
        fastreid_import.check_fastreid_version()


def test_fastreid_import_of_a_broken_one_is_one_error_with_the_command() -> None:
    script = (
        "import sys; sys.modules['fastreid.solver'] = None\n"
        "try:\n    import vireid_plugins\n"
        "except ImportError as error:\n    print(type(error).__name__, error)"
    )
    ran = python("-c", script)
    assert "InstallError fastreid 1.4.0 is installed but cannot be imported" in ran.stdout
    assert "--force-reinstall --no-deps fastreid==1.4.0" in ran.stdout


def test_train_net_with_a_broken_fastreid_prints_the_error_without_traceback() -> None:
    script = (
        "import sys; sys.modules['fastreid.solver'] = None; sys.argv = ['train_net.py']; sys.path.insert(0, 'tools')\n"
    )
    ran = python("-c", script + "import runpy; runpy.run_path('tools/train_net.py', run_name='__main__')")
    assert ran.returncode == 1
    assert ran.stderr.startswith("error: fastreid 1.4.0 is installed but cannot be imported")
    assert "Traceback" not in ran.stderr
