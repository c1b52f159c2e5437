"""A fast-reid `CfgNode` whose errors name the file and the keys that exist, and whose `_BASE_` may be a list."""

from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import torch
from fastreid.config import CfgNode as FastReidNode
from fastreid.config import get_cfg as fastreid_get_cfg

from vireid_plugins.config.overrides import as_list, paired
from vireid_plugins.config.path_keys import expand_paths, expanded
from vireid_plugins.config.paths import config_path
from vireid_plugins.config.plugins import load_plugins
from vireid_plugins.config.renamed import renamed, renamed_for_merge
from vireid_plugins.config.values import literal, require_sane, unquoted
from vireid_plugins.errors import ConfigError, meant
from vireid_plugins.io.regular import read_text
from vireid_plugins.io.strict_yaml import MAX_BYTES, MAX_NODES, Parsed, StrictYamlError, parse_yaml

BASE = "_BASE_"
# Files that a configuration may have as bases, bases of bases and so on, and how deep.
MAX_FILES, MAX_BASES_DEPTH = 100, 20
# Longest value that a message shows, in characters.
MESSAGE = 300
_KINDS = {int: "a whole number", float: "a number", bool: "True or False", list: "a list", tuple: "a list"}


class CfgNode(FastReidNode):
    """fast-reid's `CfgNode` with a few differences.

    `_BASE_` may be a list of files, merged in order, so that a config can combine a method and a data set. An unknown
    key, a wrong type or a file that does not parse is a `ConfigError` that names the file. For an unknown key it lists
    the keys that exist under the same node. A key that is given twice is an error. A key that holds text takes what is
    written: `OUTPUT_DIR: 20261128` is a folder of that name. `~` and variables expand in paths (`PATH_KEYS`).
    """

    def merge_from_file(self, cfg_filename: str | Path, allow_unsafe: bool = False) -> None:
        """Merge a YAML file and its bases, bases first.

        Args:
            cfg_filename: the file.
            allow_unsafe: ignored; part of fast-reid's signature. YAML that builds objects is always rejected.

        Raises:
            ConfigError: a file is missing or malformed, has a key twice, or a key does not exist or has another type.
        """
        for file, parsed in _files_with_bases(Path(cfg_filename)):
            where = f"config file '{file}'"
            self._merge(_flat(parsed.value), where, parsed.texts)
            expand_paths(self, where)

    def merge_from_text(self, text: str, where: str) -> None:
        """Merge YAML without bases, as `dump` writes it.

        Args:
            text: the YAML.
            where: name of the source in messages.

        Raises:
            ConfigError: the text is malformed, or a key does not exist or has another type.
        """
        parsed = _parsed(text, where)
        self._merge(_flat(parsed.value), where, parsed.texts)

    def merge_from_list(self, cfg_list: list[str]) -> None:
        """Merge `KEY value` pairs from a command line.

        Raises:
            ConfigError: the number of words is odd, a key is unknown, or a value has the wrong type.
        """
        self.merge_words(cfg_list, "command line")

    def merge_words(self, words: Sequence[str], where: str) -> None:
        """Merge `KEY value` pairs that are from somewhere else, named `where` in messages; see `merge_from_list`."""
        self._merge(paired(words), where)
        expand_paths(self, where)

    def _merge(self, flat: dict[str, Any], where: str, texts: Mapping[str, str] | None = None) -> None:
        """Merge values by dotted key; keys of earlier releases are renamed first.

        Args:
            flat: the values.
            where: name of their source in messages.
            texts: of a YAML file, the source text of values that are no text; None for words of a command line, which
                may be quoted.
        """
        written = None if texts is None else renamed({key: texts[key] for key in flat if key in texts})
        flat = renamed_for_merge(flat, where)
        _check_keys(self, flat, where)
        for key, value in flat.items():
            before = _value(self, key)
            if value == {} and isinstance(before, dict):
                continue
            if isinstance(before, dict):
                raise ConfigError(f"{where}: '{key}' holds keys and cannot be set to a value")
            place = f"{where}: '{key}'"
            value = as_list(before, value, place)
            if isinstance(before, str) and value is not None:
                new = unquoted(value, place) if written is None else written.get(key, value)
            else:
                new = literal(value, place)
            require_sane(new, place)
            if new is None and before is not None:
                # yacs accepts None for every key.
                raise ConfigError(f"{place} has no value; it takes one like {before!r}")
            if type(before) is float and type(new) is int:
                new = float(new)
            try:
                # yacs parses a text once more.
                super().merge_from_list([key, repr(new) if isinstance(new, str) else new])
            except ValueError:
                given, like = (str(shown)[:MESSAGE] for shown in (f"{new!r}", f"{before!r}"))
                kind = _KINDS.get(type(before), "a value")
                raise ConfigError(f"{place} must be {kind} like {like}; got {given}") from None


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
    before, after = (flat_config(text, "a saved configuration") for text in (then, now))
    pairs = {key: (before.get(key, ABSENT), after.get(key, ABSENT)) for key in sorted({**before, **after})}
    return {key: pair for key, pair in pairs.items() if pair[0] != pair[1] and not key.startswith(tuple(free))}


def flat_config(text: str, where: str) -> dict[str, Any]:
    """Return the values of a dumped configuration by dotted key, under current names.

    Raises:
        ConfigError: the text is malformed; the message calls it `where`.
    """
    return renamed(_flat(_parsed(text, where).value))


def differences(then: str, now: str, free: Sequence[str] = ()) -> list[str]:
    """Return `KEY: before -> after` for the `changes` between two dumped configurations."""
    return [f"{key}: {before} -> {after}" for key, (before, after) in changes(then, now, free).items()]


def get_cfg() -> CfgNode:
    """Return a new copy of fast-reid's defaults with the keys of this package and of installed plug-in packages.

    `MODEL.DEVICE` is `cuda` if a CUDA device is available, else `cpu`.
    """
    load_plugins()
    cfg = _own(fastreid_get_cfg())
    cfg.MODEL.DEVICE = "cuda" if torch.cuda.is_available() else "cpu"
    return cfg


def _own(node: FastReidNode) -> CfgNode:
    """Return a node and those below as this class, with their values; yacs's constructor copies every level again."""
    own = CfgNode()
    own.__dict__.update(node.__dict__)
    for key, value in node.items():
        dict.__setitem__(own, key, _own(value) if isinstance(value, FastReidNode) else value)
    return own


def _files_with_bases(file: Path) -> list[tuple[Path, Parsed]]:
    """Return the bases of `file` and `file` itself without `_BASE_`, in the order of merging.

    A file that is a base several times is loaded once, and merged where it is named last; merging it each time would
    give the same.

    Raises:
        ConfigError: a file cannot be read, is its own base, or there are too many.
    """
    found: dict[Path, tuple[Path, Parsed]] = {}
    budget = MAX_NODES

    def visit(file: Path, below: tuple[Path, ...]) -> None:
        nonlocal budget
        place = _resolved(file)
        if place in below:
            raise ConfigError(f"config file '{file}' is its own {BASE}: {' -> '.join(p.name for p in below)}")
        if place in found:
            return
        if len(found) >= MAX_FILES or len(below) >= MAX_BASES_DEPTH:
            raise ConfigError(
                f"config file '{file}': {BASE} leads to more than {MAX_FILES} files, or deeper than {MAX_BASES_DEPTH}"
            )
        parsed = _read(file, budget)
        budget -= parsed.nodes
        given = parsed.value.pop(BASE, [])
        found[place] = (file, parsed)
        # From the last to the first, so that the first visit of a file is the last merge.
        for base in reversed(given if isinstance(given, list) else [given]):
            if not isinstance(base, str):
                raise ConfigError(f"config file '{file}': {BASE} must be a file or a list of files, not {base!r}")
            visit(_base_file(file, base), (*below, place))

    visit(file, ())
    return list(reversed(found.values()))


def _resolved(file: Path) -> Path:
    try:
        return file.resolve()
    except (OSError, ValueError, RuntimeError) as error:
        # A NUL in the name, or a loop of links.
        raise ConfigError(f"config file '{file}' cannot be read: {error}") from None


def _base_file(file: Path, base: str) -> Path:
    """Return the path of a base: relative to the file that names it, or a shipped file, also without `configs/`."""
    relative = file.parent / expanded(base, f"config file '{file}': {BASE}")
    if not relative.is_file() and base.startswith("configs/"):
        return config_path(base.removeprefix("configs/"))
    if not relative.is_file():
        with suppress(ConfigError):
            return config_path(base)
    return relative


def _read(file: Path, budget: int) -> Parsed:
    try:
        text = read_text(file, MAX_BYTES)
    except OSError as error:
        raise ConfigError(f"config file '{file}' cannot be read: {error.strerror}") from None
    except UnicodeDecodeError as error:
        raise ConfigError(f"config file '{file}' is not valid YAML: it is not UTF-8 ({error.reason})") from None
    return _parsed(text, f"config file '{file}'", budget)


def _parsed(text: str, where: str, budget: int = MAX_NODES) -> Parsed:
    """Return parsed YAML whose value is a mapping."""
    try:
        parsed = parse_yaml(text, budget)
    except StrictYamlError as error:
        raise ConfigError(f"{where} is not valid YAML: {error}") from None
    if parsed.value is None:
        return parsed._replace(value={})
    if not isinstance(parsed.value, dict):
        raise ConfigError(f"{where} must hold keys and values, not {type(parsed.value).__name__}")
    return parsed


def _flat(tree: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
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
    hint = meant(part, names, parents)
    return (
        f"unknown key '{parents}{part}'{hint}; available {'under ' + parents[:-1] if parents else 'at the top level'}: "
        f"{', '.join(names)}. If it belongs to a plug-in, install its package or give its file: --plugin FILE.py"
    )
