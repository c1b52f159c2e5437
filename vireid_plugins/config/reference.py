"""The keys of this package with their defaults and what `defaults.py` says of them, for the documentation."""

import inspect
import re
from typing import Any, NamedTuple

from fastreid.config import get_cfg as fastreid_get_cfg

from vireid_plugins.config import defaults

# What stands before a key in the source, and the node it is.
_NODES = {"cfg": "", "losses": "MODEL.LOSSES."}
# `losses[name]` is written in a loop over these.
_LOOP = ("TGSA", "CSA", "MDR")


class Key(NamedTuple):
    """A key, its default as YAML would have it, and its comment."""

    name: str
    default: str
    about: str


def keys() -> list[Key]:
    """Return every key that `add_vireid_config` adds, in the order of the file."""
    cfg = fastreid_get_cfg()
    found: list[Key] = []
    comment: list[str] = []
    for line in inspect.getsource(defaults).splitlines():
        text = line.strip()
        if text.startswith("#"):
            comment.append(text.lstrip("# "))
            continue
        match = re.match(r"(cfg|losses)(\[name\])?\.([A-Z0-9_.]+) = ", text)
        if match:
            names = [f"{name}.{match[3]}" for name in _LOOP] if match[2] else [match[3]]
            for name in names:
                full = _NODES[match[1]] + name
                value = _value(cfg, full)
                if not isinstance(value, dict):
                    found.append(Key(full, repr(value), " ".join(comment)))
        comment = []
    return found


def _value(cfg: Any, name: str) -> Any:
    for part in name.split("."):
        cfg = cfg[part]
    return cfg
