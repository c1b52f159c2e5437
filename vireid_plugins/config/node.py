"""A fast-reid `CfgNode` whose errors name the file and the keys that exist, and whose `_BASE_` may be a list."""

import copy
import difflib
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import torch
import yaml
from fastreid.config import CfgNode as FastReidNode
from fastreid.config import get_cfg as fastreid_get_cfg

from vireid_plugins.config.paths import config_path
from vireid_plugins.config.plugins import load_plugins
from vireid_plugins.config.renamed import renamed, renamed_for_merge
from vireid_plugins.errors import ConfigError

BASE = "_BASE_"


class _Loader(yaml.SafeLoader):
    """Keeps keys as written; YAML 1.1 would read the key `ON` of earlier losses as a boolean."""

    def construct_mapping(self, node: Any, deep: bool = False) -> dict[Any, Any]:
        for key, _ in node.value:
            if key.tag == "tag:yaml.org,2002:bool":
                key.tag = "tag:yaml.org,2002:str"
        return super().construct_mapping(node, deep)


class CfgNode(FastReidNode):
    """fast-reid's `CfgNode` with three differences.

    `_BASE_` may be a list of files, merged in order, so that a config can combine a method and a data set. An unknown
    key, a wrong type or a file that does not parse is a `ConfigError` that names the file. For an unknown key it lists
    the keys that exist under the same node.
    """

    def merge_from_file(self, cfg_filename: str | Path, allow_unsafe: bool = False) -> None:
        """Merge a YAML file and its bases, bases first.

        Args:
            cfg_filename: the file.
            allow_unsafe: ignored; part of fast-reid's signature. YAML that builds objects is always rejected.

        Raises:
            ConfigError: a file is missing or malformed, or a key does not exist or has another type.
        """
        for file, tree in _files_with_bases(Path(cfg_filename)):
            self._merge(_flat(tree), f"config file '{file}'")

    def merge_from_text(self, text: str, where: str) -> None:
        """Merge YAML without bases, as `dump` writes it.

        Args:
            text: the YAML.
            where: name of the source in messages.

        Raises:
            ConfigError: the text is malformed, or a key does not exist or has another type.
        """
        self._merge(_flat(_parsed(text, where)), where)

    def merge_from_list(self, cfg_list: list[str]) -> None:
        """Merge `KEY value` pairs from a command line.

        Raises:
            ConfigError: the number of words is odd, a key is unknown, or a value has the wrong type.
        """
        if len(cfg_list) % 2:
            raise ConfigError(f"overrides come in pairs, KEY value; got {len(cfg_list)} words: {' '.join(cfg_list)}")
        self._merge(dict(zip(cfg_list[::2], cfg_list[1::2], strict=True)), "command line")

    def _merge(self, flat: dict[str, Any], where: str) -> None:
        """Merge values by dotted key; keys of earlier releases are renamed first."""
        flat = renamed_for_merge(flat, where)
        _check_keys(self, flat, where)
        for key, value in flat.items():
            before = _value(self, key)
            if value == {} and isinstance(before, dict):
                continue
            try:
                super().merge_from_list([key, value])
            except ValueError as error:
                raise ConfigError(f"{where}: {error}") from None
            if _value(self, key) is None and before is not None:
                # yacs accepts None for every key.
                raise ConfigError(f"{where}: '{key}' has no value; it takes one like {before!r}")


ABSENT = "absent"


def changes(then: str, now: str, free: Sequence[str] = ()) -> dict[str, tuple[Any, Any]]:
    """Return the values of every key that differs between two dumped configurations, under current names, sorted.

    Args:
        then: the earlier configuration, as `dump` writes it.
        now: the later one.
        free: prefixes of keys that may differ.

    Returns:
        (before, after) by key, `ABSENT` where a configuration lacks it.

    Raises:
        ConfigError: one of them is not a dumped configuration.
    """
    before, after = (renamed(_flat(_parsed(text, "a saved configuration"))) for text in (then, now))
    pairs = {key: (before.get(key, ABSENT), after.get(key, ABSENT)) for key in sorted({**before, **after})}
    return {key: pair for key, pair in pairs.items() if pair[0] != pair[1] and not key.startswith(tuple(free))}


def differences(then: str, now: str, free: Sequence[str] = ()) -> list[str]:
    """Return `KEY: before -> after` for the `changes` between two dumped configurations."""
    return [f"{key}: {before} -> {after}" for key, (before, after) in changes(then, now, free).items()]


def get_cfg() -> CfgNode:
    """Return a new copy of fast-reid's defaults with the keys of this package and of installed plug-in packages.

    `MODEL.DEVICE` is `cuda` if a CUDA device is available, else `cpu`.
    """
    load_plugins()
    cfg = CfgNode(fastreid_get_cfg())
    cfg.MODEL.DEVICE = "cuda" if torch.cuda.is_available() else "cpu"
    return cfg


def _files_with_bases(file: Path, seen: tuple[Path, ...] = ()) -> list[tuple[Path, dict[str, Any]]]:
    """Return (file, tree without `_BASE_`) for the bases of `file` and `file` itself, in the order of merging."""
    if file.resolve() in seen:
        raise ConfigError(f"config file '{file}' is its own {BASE}: {' -> '.join(p.name for p in seen)}")
    tree = _read(file)
    given = tree.pop(BASE, [])
    bases = given if isinstance(given, list) else [given]
    files = []
    for base in bases:
        if not isinstance(base, str):
            raise ConfigError(f"config file '{file}': {BASE} must be a file or a list of files, not {base!r}")
        files += _files_with_bases(_base_file(file, base), (*seen, file.resolve()))
    return [*files, (file, tree)]


def _base_file(file: Path, base: str) -> Path:
    """Return the path of a base: relative to the file that names it, or `configs/...` for a shipped file."""
    relative = file.parent / Path(base).expanduser()
    if not relative.is_file() and base.startswith("configs/"):
        return config_path(base.removeprefix("configs/"))
    return relative


def _read(file: Path) -> dict[str, Any]:
    try:
        text = file.read_text(encoding="utf-8")
    except OSError as error:
        raise ConfigError(f"config file '{file}' cannot be read: {error.strerror}") from None
    except UnicodeDecodeError as error:
        raise ConfigError(f"config file '{file}' is not valid YAML: {error}") from None
    return _parsed(text, f"config file '{file}'")


def _parsed(text: str, where: str) -> dict[str, Any]:
    try:
        tree = yaml.load(text, _Loader)  # a SafeLoader: it builds no objects
    except yaml.YAMLError as error:
        raise ConfigError(f"{where} is not valid YAML: {error}") from None
    if tree is None:
        return {}
    if not isinstance(tree, dict):
        raise ConfigError(f"{where} must hold keys and values, not {type(tree).__name__}")
    return copy.copy(tree)


def _flat(tree: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, value in tree.items():
        flat.update(_flat(value, f"{prefix}{key}.") if isinstance(value, dict) and value else {f"{prefix}{key}": value})
    return flat


def _check_keys(cfg: FastReidNode, keys: Iterable[str], where: str) -> None:
    """Raise a `ConfigError` for the first dotted key that `cfg` does not have."""
    for dotted in keys:
        node, parents = cfg, ""
        for part in dotted.split("."):
            if not isinstance(node, dict) or part not in node:
                raise ConfigError(f"{where}: {_unknown(parents, part, node)}")
            node, parents = node[part], f"{parents}{part}."


def _value(cfg: FastReidNode, dotted: str) -> Any:
    for part in dotted.split("."):
        cfg = cfg[part]
    return cfg


def _unknown(parents: str, part: str, node: Any) -> str:
    if not isinstance(node, dict):
        return f"'{parents[:-1]}' is a value and has no key '{part}'"
    names = sorted(str(name) for name in node)
    close = difflib.get_close_matches(part, names, n=1)
    hint = f" (did you mean '{parents}{close[0]}'?)" if close else ""
    return (
        f"unknown key '{parents}{part}'{hint}; available {'under ' + parents[:-1] if parents else 'at the top level'}: "
        f"{', '.join(names)}"
    )
