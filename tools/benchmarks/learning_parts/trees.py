"""The synthetic data sets for training."""

import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from learning_parts.starts import LABELS, VIT
from vireid_plugins.data.synthetic import LAYOUTS, RegdbSize, SysuSize


@dataclass(frozen=True)
class Tree:
    """A synthetic data set and how it is used.

    Attributes:
        size: its size.
        epochs: number of epochs by start; other starts are not run.
        protocol: the protocol whose scores are kept.
        overrides: overrides of the demo's configurations, which are for SYSU-MM01.
        people: number of training identities that are left of a tree of the same size; 0 leaves all.
    """

    size: Any
    epochs: Mapping[str, int]
    protocol: str
    overrides: tuple[str, ...] = ()
    people: int = 0

    def root(self, root: Path) -> Path:
        """Return the data root of this tree below that of all."""
        return root / f"{self.people} people" if self.people else root


_SYSU = SysuSize(train=64, val=8, test=48, images=6, height=96, width=48)
_ALL = "sysu/official/all/1shot"
TREES = {
    "SYSUMM01": Tree(_SYSU, {"ImageNet": 3, "ImageNet, low rate": 3, "random": 2, LABELS: 3, VIT: 12}, _ALL),
    # Half the people make half as long an epoch: 132 steps again.
    "SYSUMM01, 36 people": Tree(_SYSU, {LABELS: 6}, _ALL, people=36),
    "SYSUMM01, 18 people": Tree(_SYSU, {LABELS: 12}, _ALL, people=18),
    "RegDB": Tree(
        RegdbSize(identities=140, images=10, height=96, width=48), {"ImageNet": 6, "random": 4}, "regdb/v2i",
        ("DATASETS.NAMES", "('RegDB',)", "DATASETS.TESTS", "('RegDB',)", "TEST.PRECISE_BN.DATASET", "RegDB"),
    ),
}  # fmt: skip


def make_tree(name: str, root: Path) -> None:
    """Write a tree below `root`, unless it exists.

    One of fewer people has links to the images of the whole tree, and the first identities of its lists.
    """
    tree = TREES[name]
    layout = LAYOUTS[name.split(",")[0]]
    folder, whole = tree.root(root) / layout.folder, root / layout.folder
    if not whole.is_dir():
        layout.write(whole, tree.size, 0)
    if folder.is_dir():
        return
    shutil.copytree(whole / "exp", folder / "exp")
    for images in whole.glob("cam*"):
        (folder / images.name).symlink_to(images.resolve())
    for part, of in (("train", tree.size.train), ("val", tree.size.val)):
        file = folder / "exp" / f"{part}_id.txt"
        kept = file.read_text(encoding="utf-8").split(",")[: of * tree.people // (tree.size.train + tree.size.val)]
        file.write_text(",".join(kept), encoding="utf-8")
