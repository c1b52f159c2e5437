"""The synthetic data sets for training."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vireid_plugins.data.synthetic import LAYOUTS, RegdbSize, SysuSize


@dataclass(frozen=True)
class Tree:
    """A synthetic data set and how it is used.

    Attributes:
        size: its size.
        epochs: number of epochs by start; other starts are not run.
        protocol: the protocol whose scores are kept.
        overrides: overrides of the demo's configurations, which are for SYSU-MM01.
    """

    size: Any
    epochs: Mapping[str, int]
    protocol: str
    overrides: tuple[str, ...] = ()


TREES = {
    "SYSUMM01": Tree(
        SysuSize(train=64, val=8, test=48, images=6, height=96, width=48),
        {"ImageNet": 3, "ImageNet, low rate": 3, "random": 2}, "sysu/official/all/1shot",
    ),
    "RegDB": Tree(
        RegdbSize(identities=140, images=10, height=96, width=48), {"ImageNet": 6, "random": 4}, "regdb/v2i",
        ("DATASETS.NAMES", "('RegDB',)", "DATASETS.TESTS", "('RegDB',)", "TEST.PRECISE_BN.DATASET", "RegDB"),
    ),
}  # fmt: skip


def make_tree(name: str, root: Path) -> None:
    """Write a tree below `root`, unless it exists."""
    layout = LAYOUTS[name]
    if not (root / layout.folder).is_dir():
        layout.write(root / layout.folder, TREES[name].size, 0)
