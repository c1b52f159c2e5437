"""Names of keys, values and logged losses in earlier releases, and removed keys.

Configurations and checkpoints with the old names still load.
"""

import logging
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from vireid_plugins.config.values import literal
from vireid_plugins.errors import ConfigError

logger = logging.getLogger("fastreid." + __name__)


class Removed(NamedTuple):
    """A removed key: its former default, now the only behavior, and what to do instead of setting another value."""

    default: Any
    instead: str


# Keys and nodes, by their old names.
RENAMED = {
    "MODEL.ATTENTION.NONLOCAL": "MODEL.ATTENTION.NON_LOCAL",
    "MODEL.LOSSES.WRT": "MODEL.LOSSES.WEIGHTED_TRIPLET",
    "MODEL.LOSSES.ESD": "MODEL.LOSSES.SQUARED_DIFFERENCE_TRIPLET",
    "MODEL.LOSSES.HETERO_CENTRE": "MODEL.LOSSES.HETERO_CENTER",
    "MODEL.LOSSES.PURIFIER": "MODEL.LOSSES.PURIFICATION",
}
# Names in the values of keys.
RENAMED_VALUES = {"MODEL.LOSSES.NAME": {"HeteroCentre": "HeteroCenter", "Purifier": "Purification"}}
_ALL_BRANCHES = "the loss is the mean over all branches; leave the key out"
# By the names that they would have today.
REMOVED = {
    **{
        f"MODEL.LOSSES.{node}.ON": Removed([], _ALL_BRANCHES)
        for node in ["LABEL_SMOOTH_CE", "WEIGHTED_TRIPLET", "SQUARED_DIFFERENCE_TRIPLET", "HETERO_CENTER", "QCT", "ICG"]
    },
    "MODEL.WRIM.AUX_PARTS": Removed(0, "the auxiliary branch is Q_g alone; leave the key out"),
}
_STREAMS = "set it to build_multi_stream_backbone and MODEL.STREAMS.COUNT to {}"
_CUT = (
    "it names the backbone that is cut, such as build_resnet_backbone; set MODEL.BACKBONE.NAME to "
    "build_multi_stream_backbone and MODEL.STREAMS.COUNT to {}"
)
REMOVED_VALUES = {
    key: {"build_dual_stream_backbone": instead.format(2), "build_quadruple_stream_backbone": instead.format(4)}
    for key, instead in (("MODEL.BACKBONE.NAME", _STREAMS), ("MODEL.STREAMS.BACKBONE", _CUT))
}
# Losses in metrics.json and in benchmark results, prefixed with the name of their inputs if that has one.
_LOGGED = {
    "ce": "label_smooth_ce",
    "triplet": "hard_triplet",
    "wrt": "weighted_triplet",
    "esd": "squared_difference_triplet",
    "hc": "hetero_center",
    "cls": "cross_entropy_loss",
    "tri": "triplet_loss",
    "circle": "circle_loss",
}
LOGGED = {
    f"loss_{inputs}{old}": f"loss_{inputs}{new}"
    for inputs in ("", "aux_", "raw_", "sp_")
    for old, new in _LOGGED.items()
}


def former_names() -> dict[str, str]:
    """Return what became of every key, node and value that had another name: a sentence by its earlier name."""
    former = {old: f"is now called {new}" for old, new in RENAMED.items()}
    for key, names in RENAMED_VALUES.items():
        former |= {old: f"in {key} is now called {new}" for old, new in names.items()}
    for new, removed in REMOVED.items():
        node = next((old for old, now in RENAMED.items() if new.startswith(f"{now}.")), "")
        old = node + new.removeprefix(RENAMED[node]) if node else new
        former[old] = f"no longer exists: {removed.instead}"
    return former


def renamed(flat: Mapping[str, Any]) -> dict[str, Any]:
    """Return dotted keys and their values under current names, without removed keys that have their default."""
    current = {_key(key): _value(_key(key), value) for key, value in flat.items()}
    return {key: value for key, value in current.items() if key not in REMOVED or value != REMOVED[key].default}


def renamed_for_merge(flat: Mapping[str, Any], where: str) -> dict[str, Any]:
    """Rename like `renamed`, and log one warning for each old name.

    Args:
        flat: dotted keys and their values, which may be unparsed text.
        where: name of their source in messages.

    Raises:
        ConfigError: a removed key or value is set, or a key has different values under two names.
    """
    given: dict[str, str] = {}
    for key, value in flat.items():
        new = _key(key)
        if flat[given.setdefault(new, key)] != value:
            raise ConfigError(
                f"{where}: '{given[new]}' and '{key}' are the same key but have different values, "
                f"{flat[given[new]]!r} and {value!r}; set only '{new}'"
            )
    parsed = {
        key: literal(flat[key], f"{where}: '{key}'") if _is_affected(new) else flat[key] for new, key in given.items()
    }
    for key, value in parsed.items():
        _refuse_removed(key, value, where)
    for message in dict.fromkeys(message for key, value in parsed.items() for message in _messages(key, value)):
        logger.warning("%s: %s", where, message)
    return renamed(parsed)


def _node(key: str) -> str:
    """Return the old name of a key or of a node above it, or an empty string."""
    return next((old for old in RENAMED if f"{key}.".startswith(f"{old}.")), "")


def _key(key: str) -> str:
    """Return the current name of a key."""
    old = _node(key)
    return RENAMED[old] + key.removeprefix(old) if old else key


def _value(key: str, value: Any) -> Any:
    """Return the value of a key, given by its current name, with the names in it replaced by current ones."""
    names = RENAMED_VALUES.get(key, {})
    if not names or not isinstance(value, list | tuple):
        return value
    return [names.get(name, name) if isinstance(name, str) else name for name in value]


def _is_affected(key: str) -> bool:
    return key in REMOVED or key in RENAMED_VALUES or key in REMOVED_VALUES


def _refuse_removed(key: str, value: Any, where: str) -> None:
    """Raise a `ConfigError`, which names a key as it is given, if the key or its value is removed."""
    now = _key(key)
    if now in REMOVED and value != REMOVED[now].default:
        raise ConfigError(f"{where}: '{key}' no longer exists and cannot be {value!r}: {REMOVED[now].instead}")
    if isinstance(value, str) and value in REMOVED_VALUES.get(now, {}):
        raise ConfigError(f"{where}: {key}: '{value}' no longer exists; {REMOVED_VALUES[now][value]}")


def _messages(key: str, value: Any) -> Iterator[str]:
    """Yield a message for each old name in a key and its value."""
    if _node(key):
        yield f"'{_node(key)}' is now called '{RENAMED[_node(key)]}'"
    for old, new in RENAMED_VALUES.get(_key(key), {}).items():
        if isinstance(value, list | tuple) and old in value:
            yield f"{_key(key)}: '{old}' is now called '{new}'"
