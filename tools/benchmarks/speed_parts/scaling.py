"""How cost grows with the work: loading, steps, extraction, scoring and search at 1, 4 and 16 times as much.

Equal numbers in the column "per second" mean linear growth. Lists and scoring have the names of real data sets, up to
their real sizes.
"""

import os
from collections.abc import Callable
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import torch
from fastreid.modeling.meta_arch import build_model

from speed_parts import training
from speed_parts.measure import Subject
from speed_parts.scoring import real_test_set
from speed_parts.searching import TOP, WIDTH, clustered
from speed_parts.sizes import network, size
from speed_parts.trees import LLCM_TRAINING, SYSU_TRAINING, llcm_training, regdb_names, sysu_training
from vireid_plugins.config import CfgNode, config_path, get_cfg
from vireid_plugins.data import build_test_loader, build_train_loader
from vireid_plugins.data.datasets import LLCM, SYSUMM01, RegDB
from vireid_plugins.data.samplers import CrossModalityIdentitySampler
from vireid_plugins.data.synthetic import SysuSize, write_sysu
from vireid_plugins.data.torch_datasets import TrainImages
from vireid_plugins.evaluation.evaluate import score
from vireid_plugins.evaluation.plan import EvaluationPlan
from vireid_plugins.evaluation.protocols import PROTOCOLS
from vireid_plugins.search.engines.vector_files import nearest

WORK = size((1, 4, 16), (1, 2))
# Least and largest share of a data set's identities; the few that a batch needs are among the least.
LEAST, WHOLE = size((0.0, 1.0), (0.06, 0.1))
# The function that writes the names of a share of the training set, the class that reads them, and the number of images
# of the whole set.
SETS: dict[str, tuple[Callable[[Path, float], None], Callable[[str], Any], int]] = {
    "SYSU-MM01": (sysu_training, lambda root: SYSUMM01(root=root), sum(SYSU_TRAINING.values())),
    "RegDB": (regdb_names, lambda root: RegDB(root=root, split=1), 4120),
    "LLCM": (llcm_training, lambda root: LLCM(root=root), sum(LLCM_TRAINING.values())),
}
# Scored protocol, queries x gallery x trials of the whole set.
SCORED = {"sysu/official/all/1shot": 3803 * 301 * 10, "llcm/i2v": 7166 * 484 * 10, "regdb/v2i": 2060 * 2060}
# Loaded images, and their batch; identities of a step, of 4 images each; extracted images; vectors and their queries.
IMAGES, BATCH, PEOPLE, TESTED, VECTORS, QUERIES = size((64, 64, 2, 16, 10_000, 64), (32, 32, 1, 4, 100, 8))
SHAPE = size((288, 144), (96, 48))
STEP = size((144, 72), (96, 48))
TREE = SysuSize(train=size(24, 16), val=1, test=size(32, 8), images=2)


def _reading(name: str, share: float, folder: Path, device: str) -> Callable[[], object]:
    """Read a training set's lists and lay out the batches of one epoch."""
    write, read, _ = SETS[name]
    target = folder / f"training {share}" / name
    if not target.is_dir():
        write(target, share)

    def run() -> None:
        images = TrainImages([read(str(target))], None, (288, 144), "bilinear")
        sampler = CrossModalityIdentitySampler(
            images.targets, images.modalities, identities_per_batch=8, instances=4, seed=0
        )
        for _ in islice(sampler, sampler.steps):
            pass

    return run


def _configured(folder: Path, device: str) -> CfgNode:
    """Return AGW's configuration for a small tree of synthetic images."""
    folder = folder / "growth"
    os.environ["FASTREID_DATASETS"] = str(folder)
    if not (folder / "SYSU-MM01").is_dir():
        write_sysu(folder / "SYSU-MM01", TREE)
    cfg = get_cfg()
    cfg.merge_from_file(config_path("SYSU/agw.yml"))
    shape = str(list(SHAPE))
    given = ["MODEL.BACKBONE.PRETRAIN", "False", "MODEL.DEVICE", device, "MODEL.HEADS.NUM_CLASSES", "395"]
    given += ["INPUT.SIZE_TRAIN", shape, "INPUT.SIZE_TEST", shape, "DATALOADER.NUM_WORKERS", "0", *network("agw")]
    cfg.merge_from_list([*given, "SOLVER.IMS_PER_BATCH", str(BATCH), "TEST.IMS_PER_BATCH", str(TESTED)])
    return cfg


def _loading(times: int, folder: Path, device: str) -> Callable[[], object]:
    loader = build_train_loader(_configured(folder, device))

    def run() -> None:
        for _ in islice(loader, times * IMAGES // BATCH):
            pass

    return run


def _step(times: int, folder: Path, device: str) -> Callable[[], object]:
    return training.ours("agw", "float32", (), folder, device, small=(times * PEOPLE, 4, STEP))


def _extraction(times: int, folder: Path, device: str) -> Callable[[], object]:
    cfg = _configured(folder, device)
    model = build_model(cfg).eval()
    loader, _ = build_test_loader(cfg, "SYSUMM01")

    def run() -> None:
        with torch.inference_mode():
            for batch in islice(loader, times):
                model(batch)

    return run


def _scoring(name: str, share: float, folder: Path, device: str) -> Callable[[], object]:
    protocol = PROTOCOLS[name]
    dataset, features, paths = real_test_set(folder, protocol.dataset, share)
    assert all(len(rows) and len(columns) for rows, columns in EvaluationPlan(dataset, [protocol]).trials(protocol))
    return lambda: score(features, paths, EvaluationPlan(dataset, [protocol]), device=device)


def _search(times: int, folder: Path, device: str) -> Callable[[], object]:
    vectors, queries = clustered(times * VECTORS), clustered(QUERIES, seed=1)
    return lambda: nearest(iter([(vectors, np.arange(len(vectors)))]), queries, TOP)


def _subjects() -> list[Subject]:
    found: list[Subject] = []
    most = max(WORK)
    for times in WORK:
        for name, (_, _, images) in SETS.items():
            share = max(LEAST, WHOLE * times / most)
            task = f"lists and an epoch's batches of {name}, images"
            found.append(Subject(task, _way(times), partial(_reading, name, share), items=round(share * images)))
        height, width = SHAPE
        task = f"decoded training images of {height} x {width}"
        found.append(Subject(task, _way(times), partial(_loading, times), items=times * IMAGES))
        task = f"a training step of AGW, images of {STEP[0]} x {STEP[1]}"
        found.append(Subject(task, _way(times), partial(_step, times), items=times * PEOPLE * 8))
        task = f"features, images of {height} x {width}"
        found.append(Subject(task, _way(times), partial(_extraction, times), items=times * TESTED))
        for name, pairs in SCORED.items():
            # Queries and gallery grow with the identities.
            share = max(LEAST, WHOLE * (times / most) ** 0.5)
            task = f"scoring {name}, pairs of a query and a gallery image"
            found.append(Subject(task, _way(times), partial(_scoring, name, share), items=round(share**2 * pairs)))
        task = f"{QUERIES} queries, the nearest {TOP} of vectors of {WIDTH}"
        found.append(Subject(task, _way(times), partial(_search, times), items=times * VECTORS))
    return sorted(found, key=lambda one: one.task)


def _way(times: int) -> str:
    return f"{times} x"


SUBJECTS = _subjects()
