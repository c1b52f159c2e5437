"""Training images per second and core: fast-reid's path, ours with decoding, ours from the cache."""

import os
from collections.abc import Callable
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

import torch
from fastreid.config import CfgNode as FastReidNode
from fastreid.config import get_cfg as fastreid_get_cfg
from fastreid.data.build import fast_batch_collator
from fastreid.data.common import CommDataset
from fastreid.data.transforms import build_transforms

from speed_parts.measure import Subject
from speed_parts.sizes import size
from vireid_plugins.config import CfgNode, config_path, get_cfg
from vireid_plugins.data import build_train_loader
from vireid_plugins.data.datasets import SYSUMM01
from vireid_plugins.data.synthetic import SysuSize, write_sysu

IMAGES, MANY, BATCH, SIZE = size(512, 128), size(8192, 256), 64, (288, 144)
TREE = SysuSize(train=24, val=1, test=1, images=size(6, 1))


def _tree(folder: Path) -> Path:
    """Return a data root with a small SYSU-MM01 of synthetic images; this process works there, with one thread."""
    torch.set_num_threads(1)
    os.environ["FASTREID_DATASETS"] = str(folder)
    if not (folder / "SYSU-MM01").is_dir():
        write_sysu(folder / "SYSU-MM01", TREE)
    return folder


def _augmented(node: Any) -> None:
    """Configure flip, padded crop and erasing, as every recipe of the field does, at one size."""
    node.INPUT.SIZE_TRAIN = list(SIZE)
    node.INPUT.PADDING.SIZE = 10


def _fastreid(folder: Path, device: str) -> Callable[[], object]:
    cfg: FastReidNode = fastreid_get_cfg()
    _augmented(cfg)
    cfg.INPUT.FLIP.PROB = cfg.INPUT.REA.PROB = 0.5
    cfg.INPUT.FLIP.ENABLED = cfg.INPUT.PADDING.ENABLED = cfg.INPUT.REA.ENABLED = True
    train = SYSUMM01(root=str(_tree(folder))).train
    images = CommDataset(train, build_transforms(cfg, is_train=True), relabel=True)

    def run() -> None:
        for start in range(0, IMAGES, BATCH):
            fast_batch_collator([images[number % len(images)] for number in range(start, start + BATCH)])

    return run


def _ours(cached: bool, augment: str, workers: int, folder: Path, device: str) -> Callable[[], object]:
    _tree(folder)
    cfg: CfgNode = get_cfg()
    cfg.merge_from_file(config_path("SYSU/agw.yml"))
    _augmented(cfg)
    views = [["PadCrop", "Flip@0.5", "Erasing@0.5"]]
    cfg.INPUT.VIEWS.VISIBLE, cfg.INPUT.VIEWS.INFRARED, cfg.INPUT.AFTER_NORM = views, views, False
    cfg.SOLVER.IMS_PER_BATCH, cfg.DATALOADER.NUM_WORKERS = BATCH, workers
    cfg.INPUT.AUGMENT, cfg.MODEL.DEVICE = augment, device
    cfg.DATALOADER.CACHE = str(folder / "cache") if cached else ""
    loader = build_train_loader(cfg)
    # A loader with worker processes is kept, as in training.
    batches = iter(loader) if workers else loader

    def run() -> None:
        for _ in islice(batches, (MANY if workers else IMAGES) // BATCH):
            pass

    return run


_TASK = f"{IMAGES} training images of {SIZE[0]} x {SIZE[1]}, one process"
SUBJECTS = [
    Subject(_TASK, "fast-reid", _fastreid, items=IMAGES),
    Subject(_TASK, "this package, decoding", partial(_ours, False, "host", 0), items=IMAGES),
    Subject(_TASK, "DATALOADER.CACHE", partial(_ours, True, "host", 0), items=IMAGES),
    Subject(_TASK, "DATALOADER.CACHE, INPUT.AUGMENT device", partial(_ours, True, "device", 0), items=IMAGES),
    *(
        Subject(f"{MANY} of them, processes of a loader", f"{n}, {way}", partial(_ours, cached, "host", n), items=MANY)
        for way, cached in (("decoding", False), ("DATALOADER.CACHE", True))
        for n in (1, 2)
    ),
]
