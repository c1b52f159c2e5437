"""A training image of AGW's recipe, ready for the network, by this package and by the released code, on one core.

The released code holds resized arrays in memory and normalizes in the loader; this package hands bytes to the device,
and the network normalizes them there: here on the same core. The released code runs where VIREID_RELEASED names the
folder of its clones. The memory of a loader's process is measured with as many files as SYSU-MM01 has.
"""

import importlib
import multiprocessing
import os
import sys
from collections.abc import Callable, Iterator
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch.utils.data import DataLoader
from torchvision import transforms

from speed_parts.measure import Subject
from speed_parts.peers import FOLDER, RELEASED
from speed_parts.sizes import size
from speed_parts.trees import sysu_training
from vireid_plugins.config import CfgNode, config_path, get_cfg
from vireid_plugins.data import build_train_loader
from vireid_plugins.data.datasets import SYSUMM01
from vireid_plugins.data.loaders import TrainLoader
from vireid_plugins.data.synthetic import SysuSize, write_sysu
from vireid_plugins.engine import Trainer

HEIGHT, WIDTH = 288, 144
IMAGES, BATCH = size(1024, 64), 64
TREE = size(
    SysuSize(train=32, val=1, test=1, images=4, height=256, width=128),
    SysuSize(train=8, val=1, test=1, images=1, height=32, width=16),
)
# Identities of the tree, or a share of it, with SYSU-MM01's number of files.
SHARE = size(1.0, 0.03)


def _tree(folder: Path) -> Path:
    """Write a small SYSU-MM01; this process works there, with one thread."""
    torch.set_num_threads(1)
    os.environ["FASTREID_DATASETS"] = str(folder)
    if not (folder / "SYSU-MM01").is_dir():
        write_sysu(folder / "SYSU-MM01", TREE)
        for file in (folder / "SYSU-MM01").glob("cam*/*/*.jpg"):
            # Infrared images of the real set have three channels too.
            with Image.open(file) as image:
                image.convert("RGB").save(file, quality=95)
    return folder


def _configured(cache: str, workers: int) -> CfgNode:
    cfg = get_cfg()
    cfg.merge_from_file(config_path("SYSU/agw.yml"))
    cfg.merge_from_list(["MODEL.BACKBONE.PRETRAIN", "False", "MODEL.DEVICE", "cpu", "MODEL.HEADS.NUM_CLASSES", "395"])
    cfg.merge_from_list(["DATALOADER.NUM_WORKERS", str(workers), "DATALOADER.CACHE", cache])
    cfg.merge_from_list(["SOLVER.IMS_PER_BATCH", str(BATCH), "INPUT.SIZE_TRAIN", str([HEIGHT, WIDTH])])
    return cfg


def _filled(loader: TrainLoader) -> None:
    """Read every image once, as the first epoch does."""
    for number in range(len(loader.images)):
        _ = loader.images.pixels[number]


def _here(cached: bool, normalized: bool, folder: Path, device: str) -> Callable[[], object]:
    _tree(folder)
    cfg = _configured(str(folder / "cache") if cached else "", 0)
    network: Any = Trainer.build_model(cfg)
    loader = build_train_loader(cfg)
    _filled(loader)
    batches = iter(loader)

    def run() -> None:
        for batch in islice(batches, IMAGES // BATCH):
            if normalized:
                network.normalize(batch["images"])

    return run


def _arrays(folder: Path, modality: int) -> Any:
    dataset = SYSUMM01(root=str(folder))
    files = [item[0] for item in dataset.train if dataset.modality(item) == modality]
    pictures = (Image.open(file).resize((WIDTH, HEIGHT), Image.Resampling.LANCZOS) for file in files)
    return np.array([np.asarray(picture) for picture in pictures])


def _released(folder: Path, device: str) -> Callable[[], object]:
    _tree(folder)
    place = folder / "work" / "Datasets" / "SYSU-MM01"
    place.mkdir(parents=True, exist_ok=True)
    counts = []
    for modality, name in enumerate(("rgb", "ir")):
        pixels = _arrays(folder, modality)
        np.save(place / f"train_{name}_resized_img.npy", pixels)
        np.save(place / f"train_{name}_resized_label.npy", np.zeros(len(pixels), dtype=int))
        counts.append(len(pixels))
    beside = folder / "work" / "code"
    beside.mkdir(exist_ok=True)
    os.chdir(beside)
    sys.path.insert(0, str(Path(RELEASED) / FOLDER))
    # The steps that its train.py names.
    steps = [transforms.ToPILImage(), transforms.Pad(10), transforms.RandomCrop((HEIGHT, WIDTH))]
    steps += [transforms.RandomHorizontalFlip(), transforms.ToTensor()]
    steps += [transforms.Normalize(mean=[0.485, 0.456, 0.406], std=[0.229, 0.224, 0.225])]
    rng = np.random.default_rng(0)
    pairs = IMAGES // 2
    visible, infrared = (rng.integers(0, count, pairs) for count in counts)
    images: Any = importlib.import_module("data_loader").SYSUData(
        "", transform=transforms.Compose(steps), colorIndex=visible, thermalIndex=infrared
    )
    loader = DataLoader(images, BATCH // 2, sampler=range(pairs))

    def run() -> None:
        for first, second, _, _ in loader:
            torch.cat((first, second), 0)

    return run


def _many(folder: Path) -> None:
    """Write as many files as SYSU-MM01's training set has, all of them one image."""
    image = next((folder / "SYSU-MM01").glob("cam*/*/*.jpg"))
    root = folder / "many"
    if not root.is_dir():
        sysu_training(root / "SYSU-MM01", SHARE)
        for file in root.glob("SYSU-MM01/cam*/*/*.jpg"):
            file.unlink()
            file.hardlink_to(image)
    os.environ["FASTREID_DATASETS"] = str(root)


def _worker(folder: Path, device: str) -> Callable[[], object]:
    _many(_tree(folder))
    loader = build_train_loader(_configured("", 1))
    batches = iter(loader)

    def run() -> dict[str, float]:
        for _ in islice(batches, size(16, 1)):
            pass
        return {
            "images": len(loader.images),
            "MiB of its own": max(_own_memory(one.pid) for one in multiprocessing.active_children()) / 2**20,
        }

    return run


def _own_memory(process: int | None) -> int:
    """Return the bytes that a process shares with no other."""
    lines = Path(f"/proc/{process}/smaps_rollup").read_text().splitlines()
    return 1024 * sum(int(line.split()[1]) for line in lines if line.startswith(("Private_Clean:", "Private_Dirty:")))


def _subjects() -> Iterator[Subject]:
    task = f"a training image of {HEIGHT} x {WIDTH}, ready for the network"
    if RELEASED:
        yield Subject(task, "released AGW, arrays in memory", _released, items=IMAGES)
    yield Subject(task, "DATALOADER.CACHE", partial(_here, True, True), items=IMAGES)
    yield Subject(task, "decoding", partial(_here, False, True), items=IMAGES)
    yield Subject(task, "DATALOADER.CACHE, bytes for a device", partial(_here, True, False), items=IMAGES)
    yield Subject(task, "decoding, bytes for a device", partial(_here, False, False), items=IMAGES)
    if Path("/proc/self/smaps_rollup").exists():
        yield Subject("memory of a loader's process", "34,167 images", _worker)


SUBJECTS = list(_subjects())
