"""Features of a test set with the flip test: fast-reid's loader, ours, ours from the cache; the same network."""

import os
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path
from typing import Any

import torch
from fastreid.data.build import fast_batch_collator
from fastreid.data.common import CommDataset
from fastreid.data.transforms import build_transforms
from fastreid.evaluation import inference_on_dataset
from fastreid.modeling.meta_arch import build_model
from torch.nn import functional
from torch.utils.data import DataLoader

from speed_parts.measure import Subject
from speed_parts.sizes import network, size
from vireid_plugins.config import config_path, get_cfg
from vireid_plugins.data import build_test_loader
from vireid_plugins.data.synthetic import SysuSize, write_sysu
from vireid_plugins.evaluation.evaluator import FeatureCollector
from vireid_plugins.extraction.forms import channels_last, in_bfloat16, in_onnxruntime
from vireid_plugins.extraction.single_modality import SingleModality

TREE = SysuSize(train=2, val=1, test=8, images=2)
# Not every identity of the tree is in every camera.
IMAGES, BATCH, FEW = 66, 32, 16
CONTIGUOUS = "torch float32, contiguous images"
# The forms of TEST.EXTRACTION fast, whichever of them this processor would take.
FORMS = {
    "channels-last float32": channels_last,
    "onnxruntime": in_onnxruntime,
    "bfloat16, 8 images at a time": in_bfloat16,
}
SIZE = size((288, 144), (64, 32))


def _extraction(way: str, folder: Path, device: str) -> Callable[[], object]:
    os.environ["FASTREID_DATASETS"] = str(folder)
    if not (folder / "SYSU-MM01").is_dir():
        write_sysu(folder / "SYSU-MM01", TREE)
    cfg = get_cfg()
    cfg.merge_from_file(config_path("SYSU/one_stream.yml"))
    shape = str(list(SIZE))
    given = ["MODEL.BACKBONE.PRETRAIN", "False", "MODEL.DEVICE", device, "INPUT.SIZE_TEST", shape]
    given += ["INPUT.SIZE_TRAIN", shape, "DATALOADER.NUM_WORKERS", "0", "TEST.IMS_PER_BATCH", str(BATCH)]
    given += ["DATALOADER.CACHE", str(folder / "cache") if way == "cache" else ""]
    cfg.merge_from_list([*given, *network("one_stream")])
    torch.manual_seed(0)
    model = build_model(cfg).to(device).eval()
    ours, _ = build_test_loader(cfg, "SYSUMM01")
    dataset: Any = ours.dataset
    loader: Iterable[Any] = ours
    if way == "fast-reid":
        images = CommDataset(dataset.items, build_transforms(cfg, is_train=False), relabel=False)
        loader = DataLoader(images, BATCH, collate_fn=fast_batch_collator)
    collector = FeatureCollector(dataset.dataset)
    assert len(dataset) == IMAGES

    def run() -> None:
        collector.reset()
        inference_on_dataset(model, loader, _Keeping(collector), flip_test=True)

    return run


class _Keeping(FeatureCollector):
    """A collector that does not score the features."""

    def __init__(self, collector: FeatureCollector) -> None:
        super().__init__(collector.dataset)

    def evaluate(self) -> dict[str, float]:
        """Return nothing."""
        return {}


def _form(way: str, folder: Path, device: str) -> Callable[[], object]:
    cfg = get_cfg()
    cfg.merge_from_file(config_path("SYSU/agw.yml"))
    given = ["MODEL.BACKBONE.PRETRAIN", "False", "MODEL.DEVICE", device, "MODEL.HEADS.NUM_CLASSES", "395"]
    cfg.merge_from_list([*given, *network("agw")])
    torch.manual_seed(0)
    model = build_model(cfg).to(device).eval()
    pixels = torch.randint(0, 256, (FEW, *SIZE, 3), dtype=torch.uint8).permute(0, 3, 1, 2)
    batch = {"images": pixels, "modalities": torch.zeros(FEW, dtype=torch.long)}
    compute: Callable[[], Any]
    if way in FORMS:
        runner = FORMS[way](SingleModality(model, 0, normalize=False).eval(), SIZE)
        compute = partial(runner, pixels)
    else:
        images = pixels.contiguous() if way == CONTIGUOUS else pixels
        compute = partial(model, {**batch, "images": images})

    def run() -> dict[str, float]:
        with torch.inference_mode():
            compute()
        return {}

    with torch.inference_mode():
        least = float(functional.cosine_similarity(compute(), model(batch)).min())
    return lambda: run() | {"least cosine": least}


_TASK = f"features of {IMAGES} images of {SIZE[0]} x {SIZE[1]} and their mirror images, ResNet-50"
SUBJECTS = [
    Subject(_TASK, name, partial(_extraction, way), items=IMAGES)
    for name, way in (
        ("fast-reid's loader", "fast-reid"),
        ("this package, decoding", "decode"),
        ("this package, DATALOADER.CACHE", "cache"),
    )
]
SUBJECTS += [
    Subject(f"AGW, {FEW} images of {SIZE[0]} x {SIZE[1]}", way, partial(_form, way), items=FEW)
    for way in (CONTIGUOUS, "TEST.EXTRACTION exact", *FORMS)
]
