"""The keys that this package adds to fast-reid's defaults, each declared once, where its default is defined.

A class that is chosen by name declares its keys through its constructor: every keyword-only parameter is a key, with
the parameter's default, described by its line in the `Args` of the class. The same holds for a dataclass of options.
Keys without a constructor are declared one by one.
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

from vireid_plugins.config.renamed import RENAMED
from vireid_plugins.errors import ConfigError


class Key(NamedTuple):
    """A configuration key: its dotted name, its default and its description."""

    name: str
    default: Any
    about: str


_DECLARED: dict[str, Key] = {}


def keys(pattern: str = "") -> list[Key]:
    """Return the declared keys in alphabetical order.

    Args:
        pattern: part of the key's name, in any case; `*` and `?` are wildcards.
    """
    return [_DECLARED[name] for name in sorted(_DECLARED) if matches(name, pattern)]


# fast-reid's keys that mean something else here; the others keep their meaning.
_OTHER_MEANING = {
    "SOLVER.STEPS": "Epochs of the run at which the rate drops, whatever the warm-up.",
    "SOLVER.SCHED": "MultiStepLR, CosineAnnealingLR, or FlooredCosineLR: once per epoch, with SOLVER.ETA_MIN_LR as "
    "start and floor of all groups, whatever their rate (PMT).",
}


def fastreid_keys(pattern: str = "") -> list[Key]:
    """Return fast-reid's own keys in alphabetical order; it does not describe them.

    Args:
        pattern: see `keys`.
    """
    defaults = flat(fastreid_defaults._C)
    names = [name for name in sorted(defaults) if name not in _DECLARED and matches(name, pattern)]
    return [Key(name, defaults[name], _OTHER_MEANING.get(name, "A key of fast-reid.")) for name in names]


def flat(node: CfgNode, prefix: str = "") -> dict[str, Any]:
    """Return the values of a configuration by dotted key."""
    values: dict[str, Any] = {}
    for name, value in node.items():
        values |= flat(value, f"{prefix}{name}.") if isinstance(value, CfgNode) else {f"{prefix}{name}": value}
    return values


def matches(name: str, pattern: str) -> bool:
    """Return whether a name in upper case matches a pattern; see `keys`."""
    return fnmatch.fnmatchcase(name, f"*{pattern.upper()}*")


def declare_table(*rows: Key) -> None:
    """Add keys to fast-reid's defaults.

    Raises:
        ConfigError: a key already exists with a different default.
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
    """Declare a key `PREFIX.<NAME>` for every keyword-only parameter of a class.

    Args:
        prefix: the node that holds the keys.
        source: the class. Parameters that it passes to a base class as `**arguments` are included.

    Raises:
        ConfigError: a parameter has no default, or no line in an `Args` section of the class or its bases.
    """
    descriptions = _descriptions(source)
    for name, default in _keyword_only(source).items():
        key = f"{prefix}.{name.upper()}"
        if default is inspect.Parameter.empty:
            raise ConfigError(f"{key}: parameter '{name}' of {source.__name__} needs a default")
        if name not in descriptions and __doc__:  # python -OO strips docstrings
            raise ConfigError(
                f"{key}: parameter '{name}' of {source.__name__} needs a line under Args in its docstring"
            )
        # Defaults of a constructor are immutable; a configuration holds lists.
        value = list(default) if isinstance(default, tuple) else default
        declare_table(Key(key, value, descriptions.get(name, "")))


def arguments(node: Mapping[str, Any]) -> dict[str, Any]:
    """Return the keys of a node as keyword arguments."""
    return {key.lower(): value for key, value in node.items()}


def snake_case(name: str) -> str:
    """Return a class name in snake case: `LabelSmoothCE` becomes `label_smooth_ce`, `CMKIC` becomes `cmkic`."""
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "_", name).lower()


class KeyedRegistry(Registry):
    """A registry that declares the configuration keys of each class it registers.

    Args:
        name: as in fast-reid's `Registry`.
        prefix: parent of the classes' nodes; each node is named after its class, in upper snake case.
    """

    def __init__(self, name: str, prefix: str) -> None:
        super().__init__(name)
        self.prefix = prefix

    def _do_register(self, name: str, obj: type) -> None:
        node = f"{self.prefix}.{snake_case(name).upper()}"
        if not isinstance(obj, type):
            raise ConfigError(f"{self._name} registry: '{name}' must be a class")
        if name in self._obj_map:
            raise ConfigError(f"{self._name} registry: '{name}' is registered already; give the class another name")
        if node in RENAMED:
            raise ConfigError(f"{node}: is an earlier name of {RENAMED[node]}; give the class {name} another name")
        declare(node, obj)
        super()._do_register(name, obj)


def _keyword_only(source: type) -> dict[str, Any]:
    """Return the defaults of the keyword-only parameters of a class and of the bases it passes `**arguments` to."""
    defaults: dict[str, Any] = {}
    for each in source.__mro__:
        if "__init__" not in vars(each):
            continue
        parameters = inspect.signature(vars(each)["__init__"]).parameters.values()
        defaults = {p.name: p.default for p in parameters if p.kind is p.KEYWORD_ONLY} | defaults
        if not any(p.kind is p.VAR_KEYWORD for p in parameters):
            break
    return defaults


def _descriptions(source: type) -> dict[str, str]:
    """Return the entries of the `Args` sections of a class and its bases; those of the class itself take precedence."""
    entries: dict[str, str] = {}
    for each in reversed(source.__mro__):
        section = re.search(r"^Args:\n((?: +.*\n?)*)", inspect.cleandoc(each.__doc__ or ""), re.MULTILINE)
        for name, text in re.findall(r"^    (\w+): (.*(?:\n {8}.*)*)", section[1] if section else "", re.MULTILINE):
            entries[name] = " ".join(text.split())
    return entries
