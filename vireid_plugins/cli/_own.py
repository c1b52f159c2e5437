"""The keys that describe images of one's own, for verbs that take no configuration."""

import argparse
from collections.abc import Sequence
from typing import Any

# Name of the data set in fast-reid's registry.
OWN = "OwnFolder"


def add_own_options(parser: argparse.ArgumentParser) -> None:
    """Add `--opts`."""
    parser.add_argument(
        "--opts",
        nargs=argparse.REMAINDER,
        default=[],
        metavar="KEY value",
        help="images of your own: keys of DATASETS.OWN, such as DATASETS.OWN.CSV list.csv; last on the line",
    )


def own_options(overrides: Sequence[str]) -> dict[str, Any]:
    """Return the arguments of `OwnFolder` that the defaults and the overrides set.

    Raises:
        ConfigError: a key or value is wrong.
    """
    from vireid_plugins.config import get_cfg
    from vireid_plugins.data.datasets import OwnFolder

    cfg = get_cfg()
    cfg.merge_from_list(list(overrides))
    return OwnFolder.options(cfg)
