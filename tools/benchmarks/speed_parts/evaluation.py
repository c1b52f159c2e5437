"""An evaluation of AGW from images to the table under sysu/agw/all/1shot, by this package and by the released script.

The tree has a fifth of the people of SYSU-MM01, since the script prints rank-20, with as many images of a person in
each camera, so that trials use the same share of them. The released script runs where VIREID_RELEASED names the folder
of its clones.
"""

import importlib
import os
import runpy
import sys
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from torch import nn

from speed_parts.measure import Subject
from speed_parts.peers import FOLDER, RELEASED
from speed_parts.sizes import SMALLEST, size
from vireid_plugins.config import config_path, get_cfg
from vireid_plugins.data.synthetic import SysuSize, write_sysu
from vireid_plugins.engine import Trainer

SIZE = size((288, 144), (64, 32))
# A person of SYSU-MM01 has 20 queries a camera, and 18 images in each of the visible ones.
TREE = size(
    SysuSize(train=2, val=1, test=20, images=20, height=256, width=128),
    SysuSize(train=2, val=1, test=2, images=2, height=32, width=16),
)


def _tree(folder: Path) -> Path:
    root = folder / "work" / "Datasets" / "SYSU-MM01" / "ori_data"
    if not root.is_dir():
        root.parent.mkdir(parents=True)
        write_sysu(folder / "SYSU-MM01", TREE)
        for file in (folder / "SYSU-MM01").glob("cam[36]/*/*.jpg"):
            # Of three channels, as the data set's are and the script expects.
            Image.open(file).convert("RGB").save(file, quality=95)
        root.symlink_to(folder / "SYSU-MM01")
    return folder


class _Counter:
    """Counts the images that a network is given."""

    def __init__(self) -> None:
        self.images = 0

    def __call__(self, module: nn.Module, inputs: Any) -> None:
        first = inputs[0]
        self.images += len(first["images"] if isinstance(first, dict) else first)


def _here(way: str, folder: Path, device: str) -> Callable[[], object]:
    os.environ["FASTREID_DATASETS"] = str(_tree(folder))
    cfg = get_cfg()
    cfg.merge_from_file(config_path("SYSU/agw.yml"))
    shape = str(list(SIZE))
    cfg.merge_from_list(["MODEL.BACKBONE.PRETRAIN", "False", "MODEL.DEVICE", device, "MODEL.HEADS.NUM_CLASSES", "395"])
    cfg.merge_from_list(["INPUT.SIZE_TEST", shape, "INPUT.SIZE_TRAIN", shape])
    cfg.merge_from_list(["TEST.PROTOCOLS", "['sysu/agw/all/1shot']", "TEST.EXTRACTION", way])
    cfg.merge_from_list(["DATALOADER.NUM_WORKERS", "0", "TEST.IMS_PER_BATCH", "64", "OUTPUT_DIR", str(folder)])
    torch.manual_seed(0)
    model = Trainer.build_model(cfg)

    def run() -> dict[str, float]:
        counter = _Counter()
        with model.register_forward_pre_hook(counter):
            Trainer.test(cfg, model)
        return {"images": counter.images} if way == "exact" else {}

    return run


def _released(folder: Path, device: str) -> Callable[[], object]:
    from parity_parts import stand_ins

    _tree(folder)
    code = Path(RELEASED) / FOLDER
    sys.path.insert(0, str(code))
    supplied = stand_ins.Supplied()
    stand_ins.on_a_cpu(supplied)
    stand_ins.tensorboard(supplied)
    resnet: Any = importlib.import_module("resnet")

    stand_ins.replace(resnet, "resnet50", lambda build: lambda pretrained=False, **k: build(pretrained=False, **k))
    Image.ANTIALIAS = Image.LANCZOS  # type: ignore[attr-defined]
    # One process, as on this side.
    stand_ins.replace(
        torch.utils.data.DataLoader, "__init__", lambda make: lambda *a, **k: make(*a, **{**k, "num_workers": 0})
    )
    beside = folder / "work" / "code"
    beside.mkdir(exist_ok=True)
    os.chdir(beside)
    sys.argv = ["test.py", "--dataset", "sysu", "--mode", "all", "--method", "agw", "--workers", "0"]
    counter = _Counter()

    def run() -> dict[str, float]:
        counter.images = 0
        hook = nn.modules.module.register_module_forward_pre_hook(_of_networks(counter))
        try:
            runpy.run_path(str(code / "test.py"), run_name="__main__")
        finally:
            hook.remove()
        return {"images": counter.images}

    return run


def _of_networks(counter: _Counter) -> Callable[[nn.Module, Any], None]:
    def see(module: nn.Module, inputs: Any) -> None:
        if type(module).__name__ == "embed_net":
            counter(module, inputs)

    return see


def _subjects() -> Iterator[Subject]:
    task = f"AGW, sysu/agw/all/1shot of {TREE.test} people, {SIZE[0]} x {SIZE[1]}, from images to the table"
    # The fast form takes as long to export at any size of images; extraction runs it at the smallest size.
    for way in size(("exact", "fast"), ("exact",)):
        yield Subject(task, f"this package, TEST.EXTRACTION {way}", partial(_here, way))
    if RELEASED and not SMALLEST:
        yield Subject(task, "released test.py", _released)


SUBJECTS = list(_subjects())
