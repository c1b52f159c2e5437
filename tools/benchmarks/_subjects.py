"""What `speed.py` can measure, by name. Imports only the standard library, since --help lists the names."""

import importlib
import os
from typing import Any

# Modules of speed_parts, each with its list SUBJECTS.
NAMES = (
    "scoring",
    "peers",
    "evaluation",
    "loading",
    "images",
    "training",
    "losses",
    "operations",
    "extraction",
    "scaling",
    "searching",
    "service",
    "folders",
    "ranking",
    "clustering",
    "endurance",
    "startup",
    "gpu",
)


def subjects(name: str) -> list[Any]:
    """Return the `Subject`s of a name, importing only their module."""
    named: list[Any] = importlib.import_module(f"speed_parts.{name}").SUBJECTS
    return named


def measured_together() -> list[str]:
    """Return the names that `make benchmark` measures: all but those that need what is not here.

    `gpu` is for `make gpu`. Files with rows of released code keep them where its clones are not there.
    """
    absent = {"gpu"} if os.environ.get("VIREID_RELEASED") else {"gpu", "peers", "evaluation", "images"}
    return [name for name in NAMES if name not in absent]


if __name__ == "__main__":
    print(*measured_together())
