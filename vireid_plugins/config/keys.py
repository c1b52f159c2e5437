"""The keys that this package adds to fast-reid's defaults. Each is declared once, where its default is defined.

A class that is chosen by name has its keys in its constructor: every keyword-only parameter is one, with the default of
the parameter and its line in the `Args` of the class. A dataclass of options is such a class too. Keys that no
constructor has are declared one by one.
"""

import copy
import fnmatch
import inspect
import re
from collections.abc import Mapping
from typing import Any, NamedTuple

from fastreid.config import CfgNode
from fastreid.config import defaults as fastreid_defaults
from fastreid.utils.registry import Registry

from vireid_plugins.errors import ConfigError


class Key(NamedTuple):
    """A key of the configuration: its dotted name, its default and what it is."""

    name: str
    default: Any
    about: str


_DECLARED: dict[str, Key] = {}


def keys(pattern: str = "") -> list[Key]:
    """Return the declared keys in alphabetical order.

    Args:
        pattern: a part of the names, in either case; `*` and `?` are wildcards.
    """
    return [_DECLARED[name] for name in sorted(_DECLARED) if fnmatch.fnmatchcase(name, f"*{pattern.upper()}*")]


def declare_table(*rows: Key) -> None:
    """Add keys to fast-reid's defaults.

    Raises:
        ConfigError: a key exists with another default.
    """
    for key in rows:
        *parents, last = key.name.split(".")
        node = fastreid_defaults._C
        for parent in parents:
            node = node.setdefault(parent, CfgNode())
        if node.setdefault(last, copy.deepcopy(key.default)) != key.default:
            raise ConfigError(
                f"{key.name}: already has the default {node[last]!r}; it cannot also have {key.default!r}"
            )
        _DECLARED[key.name] = key


def declare(prefix: str, source: type) -> None:
    """Declare a key for every keyword-only parameter of a class: `PREFIX.<NAME>`.

    Args:
        prefix: the node that holds the keys.
        source: the class. Parameters that it passes on to a base class as `**arguments` count too.

    Raises:
        ConfigError: a parameter has no default, or no line in an `Args` section of the class or its bases.
    """
    described = _described(source)
    for name, default in _keyword_only(source).items():
        key = f"{prefix}.{name.upper()}"
        if default is inspect.Parameter.empty:
            raise ConfigError(f"{key}: parameter '{name}' of {source.__name__} needs a default")
        if name not in described and __doc__:  # python -OO strips docstrings
            raise ConfigError(
                f"{key}: parameter '{name}' of {source.__name__} needs a line under Args in its docstring"
            )
        # A constructor's default should not be mutable, but a configuration has lists.
        value = list(default) if isinstance(default, tuple) else default
        declare_table(Key(key, value, described.get(name, "")))


def arguments(node: Mapping[str, Any]) -> dict[str, Any]:
    """Return the keys of a node as keyword arguments."""
    return {key.lower(): value for key, value in node.items()}


def snake_case(name: str) -> str:
    """Return a class name in snake case: `LabelSmoothCE` is `label_smooth_ce`, `CMKIC` is `cmkic`."""
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "_", name).lower()


class KeyedRegistry(Registry):
    """A registry that declares the keys of what it registers.

    Args:
        name: as in fast-reid's `Registry`.
        prefix: the node above those of the classes, each of which is called as its class, in upper snake case.
    """

    def __init__(self, name: str, prefix: str) -> None:
        super().__init__(name)
        self.prefix = prefix

    def _do_register(self, name: str, obj: type) -> None:
        super()._do_register(name, obj)
        declare(f"{self.prefix}.{snake_case(name).upper()}", obj)


def _keyword_only(source: type) -> dict[str, Any]:
    """Return the defaults of the keyword-only parameters, up to the first base class that nothing is passed on to."""
    found: dict[str, Any] = {}
    for each in source.__mro__:
        if "__init__" not in vars(each):
            continue
        parameters = inspect.signature(vars(each)["__init__"]).parameters.values()
        found = {p.name: p.default for p in parameters if p.kind is p.KEYWORD_ONLY} | found
        if not any(p.kind is p.VAR_KEYWORD for p in parameters):
            break
    return found


def _described(source: type) -> dict[str, str]:
    """Return the entries of the `Args` sections of a class and its bases, the class's own first."""
    found: dict[str, str] = {}
    for each in reversed(source.__mro__):
        section = re.search(r"^Args:\n((?: +.*\n?)*)", inspect.cleandoc(each.__doc__ or ""), re.MULTILINE)
        for name, text in re.findall(r"^    (\w+): (.*(?:\n {8}.*)*)", section[1] if section else "", re.MULTILINE):
            found[name] = " ".join(text.split())
    return found
