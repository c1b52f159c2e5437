"""Every path that a user gives expands `~` and variables: keys, flags, the data root."""

import argparse
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

import vireid_plugins.methods  # noqa: F401  declares keys
from vireid_plugins.cli.main import command_parser
from vireid_plugins.config import get_cfg
from vireid_plugins.config.keys import fastreid_keys, keys
from vireid_plugins.config.path_keys import PATH_KEYS
from vireid_plugins.data.datasets.base import data_root
from vireid_plugins.errors import ConfigError

# What a key of a path is called, or how it is described.
NAME = re.compile(r"(^|[._])(DIR|PATH|FILE|FOLDER|ROOT|WEIGHTS|CACHE|CSV)$")
ABOUT = re.compile(r"^(Folder|File|Path|Checkpoint)\b")


def test_path_keys_are_all_keys_that_hold_paths() -> None:
    known = [*keys(), *fastreid_keys()]
    found = {
        key.name for key in known if isinstance(key.default, str) and (NAME.search(key.name) or ABOUT.match(key.about))
    }
    assert found == set(PATH_KEYS)


@pytest.mark.parametrize("key", PATH_KEYS)
def test_path_keys_expand_from_files_and_command_lines(
    key: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("RUN", "7")
    monkeypatch.delenv("GONE", raising=False)
    cfg = get_cfg()
    cfg.merge_from_list([key, "~/a/$RUN"])
    file = tmp_path / "c.yml"
    file.write_text(nested(key, "'~/b/${RUN}'"))
    other = get_cfg()
    other.merge_from_file(file)
    for one, expected in ((cfg, tmp_path / "a" / "7"), (other, tmp_path / "b" / "7")):
        value = one
        for part in key.split("."):
            value = value[part]
        assert value == str(expected)
    with pytest.raises(ConfigError, match=rf"{re.escape(key)}: .*the variable GONE is not set"):
        get_cfg().merge_from_list([key, "$GONE/x"])


def nested(key: str, value: str) -> str:
    """YAML of one key."""
    *parents, last = key.split(".")
    lines = [f"{'  ' * depth}{parent}:" for depth, parent in enumerate(parents)]
    return "\n".join([*lines, f"{'  ' * len(parents)}{last}: {value}"]) + "\n"


def test_base_and_data_root_expand(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BASES", str(tmp_path))
    (tmp_path / "a.yml").write_text("SEED: 5\n")
    (tmp_path / "b.yml").write_text("_BASE_: $BASES/a.yml\n")
    cfg = get_cfg()
    cfg.merge_from_file(tmp_path / "b.yml")
    assert cfg.SEED == 5
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("FASTREID_DATASETS", "~/data")
    assert data_root() == tmp_path / "data"
    monkeypatch.setenv("FASTREID_DATASETS", "$GONE/data")
    with pytest.raises(ConfigError, match=r"FASTREID_DATASETS: .*GONE is not set"):
        data_root()


def actions(parser: argparse.ArgumentParser) -> Iterator[argparse.Action]:
    """Every argument of a parser and of the parsers below it."""
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for below in action.choices.values():
                yield from actions(below)
        else:
            yield action


# Arguments that hold text, by their first name.
NO_PATHS = {
    *("opts", "--protocol", "--dataset", "--metric", "--rerank", "--device", "--dist-url", "--modality", "dataset"),
    *("layout", "--font", "--query", "PATTERN", "pattern", "--help", "-h", "--opts"),
    *("--detector", "--camera", "--category", "--start-time", "--find", "--since", "--until", "--where"),
    *("--host", "--token", "--engine", "--uri"),
}


def test_flags_that_hold_paths_expand(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    checked = set()
    for action in actions(command_parser()):
        name = (action.option_strings or [action.dest])[0]
        if action.nargs == 0 or action.choices or name in NO_PATHS:
            continue
        if action.type is None:
            raise AssertionError(f"{name} holds text: is it a path (cli._common.path)? Else add it to NO_PATHS")
        if getattr(action.type, "__name__", "") in ("path", "path_text"):
            assert str(action.type("~/x")) == str(tmp_path / "x")
            with pytest.raises(argparse.ArgumentTypeError, match="GONE is not set"):
                action.type("$GONE/x")
            checked.add(name)
        else:
            assert action.type is not Path, f"{name} must take cli._common.path"
    assert {"--config-file", "--features", "--data-root", "--json", "--index", "--picture", "--output"} <= checked
