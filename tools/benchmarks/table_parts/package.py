"""Tables about the package: protocols, patches of fast-reid, configuration keys, entries of a checkpoint."""

from shared_parts.markdown import table

from vireid_plugins.config.keys import keys
from vireid_plugins.engine.bound_keys import BOUND, Bound
from vireid_plugins.engine.checkpoint_format import FORMAT, Entry
from vireid_plugins.evaluation import PROTOCOLS
from vireid_plugins.stock import PATCHES


def protocols() -> str:
    """Return one row per protocol."""
    rows = [
        [
            f"`{p.name}`",
            " to ".join({"i": "infrared", "v": "visible"}[side] for side in p.direction.split("2")),
            f"{p.drawn}: {p.draw}" + (f", {p.shots} per identity and camera" if p.shots else ""),
            p.trials,
            p.drop,
            p.cmc,
            p.about,
        ]
        for p in PROTOCOLS.values()
    ]
    return table(rows, ["name", "query to gallery", "drawn", "trials", "not seen", "CMC", "who prints it"])


def patches() -> str:
    """Return one row per patch of fast-reid."""
    # By module: the order of registration depends on what was imported first.
    by_module = sorted(PATCHES.values(), key=lambda one: one.replacements.__module__)
    rows = [[f"`{p.name}`", p.trouble, p.repair, p.where] for p in by_module]
    return table(rows, ["name", "without it", "with it", "where in fast-reid"])


def configuration_keys() -> str:
    """Return one row per configuration key of this package."""
    rows = [[f"`{key.name}`", f"`{key.default!r}`", key.about.replace("|", "\\|")] for key in keys()]
    return table(rows, ["key", "default", "what it is"])


def checkpoint_entries() -> str:
    """Return one row per entry of a checkpoint."""
    return table(FORMAT, [name.replace("_", " ") for name in Entry._fields])


def bound_keys() -> str:
    """Return one row per group of keys that a checkpoint binds."""
    return table(BOUND, [name.replace("_", " ") for name in Bound._fields])
