from pathlib import Path
from types import SimpleNamespace

import pytest
from helpers import python

from vireid_plugins.config import plugins
from vireid_plugins.config.plugins import load_plugins
from vireid_plugins.errors import InstallError


def plugin(folder: Path, source: str) -> None:
    (folder / "stranger.py").write_text(source)
    info = folder / "stranger-1.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: stranger\nVersion: 1\n")
    (info / "entry_points.txt").write_text("[vireid_plugins.plugins]\nstranger = stranger\n")


def test_load_plugins_registers_a_package_with_the_entry_point(tmp_path: Path) -> None:
    plugin(
        tmp_path,
        "from vireid_plugins.modeling.losses import LOSS_REGISTRY, HardTriplet\n"
        "class Mine(HardTriplet):\n    pass\nLOSS_REGISTRY.register(Mine)\n",
    )
    script = "from vireid_plugins.modeling.losses import LOSS_REGISTRY\nfrom vireid_plugins.config import get_cfg\n"
    ran = python(
        "-c",
        script + "before = 'Mine' in LOSS_REGISTRY._obj_map; get_cfg(); get_cfg()\n"
        "print(before, 'Mine' in LOSS_REGISTRY._obj_map)",
        PYTHONPATH=str(tmp_path),
    )
    assert ran.stdout.strip() == "False True", ran.stderr


def test_load_plugins_finds_what_is_installed_meanwhile(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(tmp_path))
    load_plugins()
    plugin(tmp_path, "raise ValueError\n")
    for _ in range(2):
        with pytest.raises(InstallError, match="plug-in 'stranger'"):
            load_plugins()


def test_load_plugins_looks_once_into_folders_that_stay_as_they_are(monkeypatch: pytest.MonkeyPatch) -> None:
    load_plugins()
    looked: list[str] = []
    monkeypatch.setattr("importlib.metadata.entry_points", lambda group: looked.append(group) or [])
    load_plugins()
    assert looked == []
    monkeypatch.setattr(plugins, "_looked_into", [])
    load_plugins()
    assert looked == [plugins.GROUP]


def test_load_plugins_with_a_broken_one_names_it(tmp_path: Path) -> None:
    plugin(tmp_path, "import nowhere_to_be_found\n")
    ran = python("-c", "from vireid_plugins.config import get_cfg; get_cfg()", PYTHONPATH=str(tmp_path))
    assert "InstallError: plug-in 'stranger'" in ran.stderr
    assert "nowhere_to_be_found" in ran.stderr


@pytest.mark.parametrize(
    ("source", "said"), [("raise ValueError", "ValueError"), ("raise SystemExit(3)", "SystemExit: 3")]
)
def test_load_plugins_with_one_that_says_nothing_or_ends_the_process_names_it(
    source: str, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def load() -> None:
        exec(source)

    entry = SimpleNamespace(name="stranger", value="stranger", load=load, dist=None)
    monkeypatch.setattr("importlib.metadata.entry_points", lambda group: [entry])
    monkeypatch.setattr(plugins, "_looked_into", [])
    with pytest.raises(InstallError, match=rf"plug-in 'stranger' \(stranger\) cannot be loaded: {said}\. Fix"):
        load_plugins()
