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
    """Reads keys as they are written: YAML 1.1 takes the key `ON` of the losses for the truth value."""

    def construct_mapping(self, node: Any, deep: bool = False) -> dict[Any, Any]:
        for key, _ in node.value:
            if key.tag == "tag:yaml.org,2002:bool":
                key.tag = "tag:yaml.org,2002:str"
        return super().construct_mapping(node, deep)


class CfgNode(FastReidNode):
    """fast-reid's `CfgNode` with three differences.

    `_BASE_` may be a list of files, merged in order, so that a config is composed of a method and a data set. An
    unknown key, a wrong type or a file that does not parse is a `ConfigError` that names the file. The keys that exist
    at that place are listed.
    """

    def merge_from_file(self, cfg_filename: str | Path, allow_unsafe: bool = False) -> None:
        """Merge a YAML file and its bases, bases first.

        Args:
            cfg_filename: the file.
            allow_unsafe: accepted because fast-reid's method has it; YAML that builds objects is always refused.

        Raises:
            ConfigError: a file is missing or malformed, or a key does not exist or has another type.
        """
        for file, tree in _files_with_bases(Path(cfg_filename)):
            self._merge(_flat(tree), f"config file '{file}'")

    def merge_from_text(self, text: str, where: str) -> None:
        """Merge YAML without bases, as `dump` writes it.

        Args:
            text: the YAML.
            where: what messages call it.

        Raises:
            ConfigError: it is malformed, or a key does not exist or has another type.
        """
        self._merge(_flat(_parsed(text, where)), where)

    def merge_from_list(self, cfg_list: list[str]) -> None:
        """Merge `KEY value` pairs from a command line.

        Raises:
            ConfigError: an odd number of words, or a key or value that does not fit.
        """
        if len(cfg_list) % 2:
            raise ConfigError(f"overrides come in pairs, KEY value; got {len(cfg_list)} words: {' '.join(cfg_list)}")
        self._merge(dict(zip(cfg_list[::2], cfg_list[1::2], strict=True)), "command line")

    def _merge(self, flat: dict[str, Any], where: str) -> None:
        """Merge values by their dotted keys, which may be those of an earlier release."""
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
                # yacs lets all keys be None.
                raise ConfigError(f"{where}: '{key}' has no value; it takes one like {before!r}")


def differences(then: str, now: str, free: Sequence[str] = ()) -> list[str]:
    """Return `KEY: before -> after` of every key that differs between two dumped configurations, by today's names.

    Args:
        then: the one, as `dump` writes it.
        now: the other.
        free: beginnings of keys that may differ.
    """
    before, after = (renamed(_flat(_parsed(text, "a saved configuration"))) for text in (then, now))
    missing = "not there"
    return [
        f"{key}: {before.get(key, missing)} -> {after.get(key, missing)}"
        for key in sorted({**before, **after})
        if before.get(key, missing) != after.get(key, missing) and not key.startswith(tuple(free))
    ]


def get_cfg() -> CfgNode:
    """Return a fresh copy of fast-reid's defaults with the keys of this package and of installed plug-in packages.

    `MODEL.DEVICE` is `cuda` where a CUDA device is present, else `cpu`.
    """
    load_plugins()
    cfg = CfgNode(fastreid_get_cfg())
    cfg.MODEL.DEVICE = "cuda" if torch.cuda.is_available() else "cpu"
    return cfg


def _files_with_bases(file: Path, seen: tuple[Path, ...] = ()) -> list[tuple[Path, dict[str, Any]]]:
    """Read `file` and, before it, its bases: a list of (file, tree without `_BASE_`) in the order of merging."""
    if file.resolve() in seen:
        raise ConfigError(f"config file '{file}' is its own {BASE}: {' -> '.join(p.name for p in seen)}")
    tree = _read(file)
    bases = tree.pop(BASE, [])
    found = []
    for base in [bases] if isinstance(bases, str) else bases:
        found += _files_with_bases(_base_file(file, base), (*seen, file.resolve()))
    return [*found, (file, tree)]


def _base_file(file: Path, base: str) -> Path:
    """Return a base: relative to the file that names it, or, as `configs/...`, one of the shipped files."""
    beside = file.parent / Path(base).expanduser()
    if not beside.is_file() and base.startswith("configs/"):
        return config_path(base.removeprefix("configs/"))
    return beside


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
        node, walked = cfg, ""
        for part in dotted.split("."):
            if not isinstance(node, dict) or part not in node:
                raise ConfigError(f"{where}: {_unknown(walked, part, node)}")
            node, walked = node[part], f"{walked}{part}."


def _value(cfg: FastReidNode, dotted: str) -> Any:
    for part in dotted.split("."):
        cfg = cfg[part]
    return cfg


def _unknown(walked: str, part: str, node: Any) -> str:
    if not isinstance(node, dict):
        return f"'{walked[:-1]}' is a value, it has no key '{part}'"
    names = sorted(str(name) for name in node)
    close = difflib.get_close_matches(part, names, n=1)
    hint = f" (did you mean '{walked}{close[0]}'?)" if close else ""
    return (
        f"unknown key '{walked}{part}'{hint}; {'under ' + walked[:-1] if walked else 'at the top'} there are "
        f"{', '.join(names)}"
    )
