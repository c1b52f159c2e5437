"""Training steps: fast-reid's, ours with each speed key, and the bare network as the ceiling."""

from collections.abc import Callable, Sequence
from functools import partial
from itertools import repeat
from pathlib import Path
from typing import Any

import torch
from fastreid.engine.train_loop import SimpleTrainer
from fastreid.modeling.meta_arch import build_model
from fastreid.solver import build_optimizer as fastreid_optimizer
from fastreid.utils.events import EventStorage
from torch import Tensor

from vireid_plugins.benchmark.measure import Subject
from vireid_plugins.compat.step import take_step
from vireid_plugins.config import CfgNode, config_path, get_cfg
from vireid_plugins.data.batch import split_identities
from vireid_plugins.engine.average import WeightAverage
from vireid_plugins.engine.optimizer import build_optimizer
from vireid_plugins.engine.step_metrics import StepMetrics
from vireid_plugins.modeling.backbones.multi_stream import compile_stages
from vireid_plugins.modeling.bundle import Bundle
from vireid_plugins.modeling.meta_arch import CrossModalityBaseline

# P, K and size on a CPU, so that a step takes seconds; on CUDA they are the configuration's own.
SMALL = (4, 2, (288, 144))
# Steps a run: on CUDA one is too short to time.
STEPS = {"cpu": 1, "cuda": 10}


def _network(method: str, device: str, *overrides: str) -> tuple[CfgNode, CrossModalityBaseline]:
    cfg = get_cfg()
    cfg.merge_from_file(config_path(f"SYSU/{method}.yml"))
    given = ["MODEL.BACKBONE.PRETRAIN", "False", "MODEL.DEVICE", device, "MODEL.HEADS.NUM_CLASSES", "395"]
    cfg.merge_from_list([*given, *overrides])
    if device == "cpu":
        identities, instances, size = SMALL
        given = ["INPUT.SIZE_TRAIN", str(list(size)), "INPUT.SIZE_TEST", str(list(size))]
        given += ["DATALOADER.NUM_INSTANCE", str(instances), "SOLVER.IMS_PER_BATCH", str(2 * identities * instances)]
        cfg.merge_from_list(given)
    torch.manual_seed(0)
    model: CrossModalityBaseline = build_model(cfg).to(device).train()
    return cfg, model


def _batch(cfg: CfgNode) -> dict[str, Tensor]:
    """Return random images in block order on the host, stored channels last as our collate stores them."""
    views = (len(cfg.INPUT.VIEWS.VISIBLE), len(cfg.INPUT.VIEWS.INFRARED))
    blocks = torch.tensor([(modality, view) for modality in (0, 1) for view in range(views[modality])])
    instances = cfg.DATALOADER.NUM_INSTANCE
    identities = cfg.SOLVER.IMS_PER_BATCH // (2 * instances)
    rows = identities * instances
    pixels = torch.randint(0, 256, (rows * len(blocks), *cfg.INPUT.SIZE_TRAIN, 3), dtype=torch.uint8)
    batch = {
        "images": pixels.permute(0, 3, 1, 2),
        "targets": torch.arange(identities).repeat_interleave(instances).repeat(len(blocks)),
        "camids": torch.ones(rows * len(blocks), dtype=torch.long),
        "modalities": blocks[:, 0].repeat_interleave(rows),
        "views": blocks[:, 1].repeat_interleave(rows),
    }
    return {key: column.pin_memory() for key, column in batch.items()} if torch.cuda.is_available() else batch


def _fastreid(method: str, folder: Path, device: str) -> Callable[[], object]:
    """Its trainer's step, its optimiser without the buffer that torch 2 unhooks, float images channels first."""
    cfg, model = _network(method, device)
    batch = _batch(cfg)
    batch["images"] = batch["images"].float().contiguous()
    optimizer, groups = fastreid_optimizer(cfg, model, contiguous=False)
    trainer = SimpleTrainer(model, repeat(batch), optimizer, groups)
    trainer.iter = 0
    return _logged(trainer.run_step, device)


def _ours(method: str, dtype: str, keys: Sequence[str], folder: Path, device: str) -> Callable[[], object]:
    """Our trainer's step, with the keys of a configuration."""
    cfg, model = _network(method, device, *keys)
    if cfg.MODEL.COMPILE:
        compile_stages(model)
    trainer: Any = SimpleTrainer(model, repeat(_batch(cfg)), build_optimizer(cfg, model), None)
    trainer.iter = 0
    average = WeightAverage(model, cfg.SOLVER.EMA_DECAY) if cfg.SOLVER.EMA_DECAY else None
    metrics = StepMetrics(cfg.SOLVER.METRICS_PERIOD)
    metrics.trainer = trainer
    parts = cfg.SOLVER.ACCUMULATE
    scaler = torch.amp.GradScaler(device, enabled=dtype == "float16")
    type_ = None if dtype == "float32" else getattr(torch, dtype)
    split: Any = partial(split_identities, parts=parts) if parts > 1 else None

    def step() -> None:
        take_step(trainer, device, type_, scaler, split=split, write=metrics.add)
        if average:
            average.after_step()

    return _logged(step, device)


def _ceiling(method: str, dtype: str, folder: Path, device: str) -> Callable[[], object]:
    """The same network forward and backward, on normalised images that are on the device, and nothing else."""
    cfg, model = _network(method, device)
    batch = _batch(cfg)
    images, targets = model.normalise(batch["images"]), batch["targets"].to(device)
    autocast = torch.autocast(device, dtype=getattr(torch, dtype), enabled=dtype != "float32")

    def step() -> None:
        model.zero_grad(set_to_none=True)
        with autocast:
            maps = model.extract(images, batch["modalities"], batch["views"])
            bundles = model.bundles(maps, targets, batch["modalities"], batch["views"])
        torch.stack([x.float().sum() for _, bundle in bundles.values() for x in _outputs(bundle)]).sum().backward()

    return _logged(step, device)


def _outputs(bundle: Bundle) -> list[Tensor]:
    """Return everything that the losses look at."""
    found = [x for branch in bundle.branches.values() for x in (branch.pooled, branch.neck, branch.logits)]
    found += [bundle.projection] if bundle.projection is not None else []
    return [x for x in (*found, *bundle.extra.values()) if x.requires_grad]


def _logged(step: Callable[[], object], device: str) -> Callable[[], object]:
    """Run steps where fast-reid's metrics have somewhere to go."""
    storage = EventStorage()

    def run() -> None:
        with storage:
            for _ in range(STEPS[torch.device(device).type]):
                step()

    return run


METHODS = {
    "one_stream": "one-stream", "agw": "AGW", "deen": "DEEN", "wrim": "WRIM-Net", "idkl": "IDKL",
    "mscm": "MSCMNet", "icre": "ICRE",
}  # fmt: skip
# Each key of the configuration that changes speed or memory, on top of bfloat16.
KEYS = {
    "MODEL.COMPILE": ["MODEL.COMPILE", "True"],
    "MODEL.CHECKPOINT_STAGES": ["MODEL.CHECKPOINT_STAGES", "True"],
    "SOLVER.ACCUMULATE 2": ["SOLVER.ACCUMULATE", "2"],
    "SOLVER.EMA_DECAY": ["SOLVER.EMA_DECAY", "0.999"],
    "SOLVER.METRICS_PERIOD 1": ["SOLVER.METRICS_PERIOD", "1"],
}


def _subjects(method: str, name: str) -> list[Subject]:
    cfg = get_cfg()
    cfg.merge_from_file(config_path(f"SYSU/{method}.yml"))
    identities, instances, (height, width) = SMALL
    views = len(cfg.INPUT.VIEWS.VISIBLE) + len(cfg.INPUT.VIEWS.INFRARED)
    images = identities * instances * views
    task = f"{name}, {images} images of {height} x {width}"
    found = [Subject(task, "fast-reid, float32", partial(_fastreid, method), items=images)]
    for dtype in ("float32", "bfloat16"):
        bare = f"bare network, {dtype}"
        found.append(Subject(task, bare, partial(_ceiling, method, dtype), items=images))
        ours = partial(_ours, method, dtype, ())
        found.append(Subject(task, f"this package, {dtype}", ours, items=images, ceiling=bare))
    if method == "wrim":
        for key, words in KEYS.items():
            ours = partial(_ours, method, "bfloat16", words)
            found.append(Subject(task, f"bfloat16, {key}", ours, items=images, ceiling="bare network, bfloat16"))
    return found


SUBJECTS = [subject for method, name in METHODS.items() for subject in _subjects(method, name)]
