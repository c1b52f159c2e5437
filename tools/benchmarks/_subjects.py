"""What `speed.py` can measure, by name. Imports only the standard library, since --help lists the names."""

import importlib
from typing import Any

# Modules of speed_parts, each with its list SUBJECTS.
NAMES = (
    "scoring",
    "peers",
    "evaluation",
    "loading",
    "training",
    "losses",
    "operations",
    "extraction",
    "scaling",
    "searching",
    "ranking",
    "endurance",
    "startup",
    "gpu",
)


def subjects(name: str) -> list[Any]:
    """Return the `Subject`s of a name, importing only their module."""
    named: list[Any] = importlib.import_module(f"speed_parts.{name}").SUBJECTS
    return named
