"""Training steps: fast-reid's, ours with each speed key, and the bare network as the ceiling."""

from collections.abc import Callable, Sequence
from functools import partial
from itertools import repeat
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from fastreid.engine.train_loop import SimpleTrainer
from fastreid.modeling.meta_arch import build_model
from fastreid.solver import build_optimizer as fastreid_optimizer
from fastreid.utils.events import EventStorage
from shared_parts.operations import block_batch, outputs_of

from speed_parts.measure import Subject
from speed_parts.sizes import SMALLEST, network, size
from vireid_plugins.config import CfgNode, config_path, get_cfg
from vireid_plugins.engine.hooks.ema import WeightAverage
from vireid_plugins.engine.hooks.step_metrics import StepMetrics
from vireid_plugins.engine.optimizer import build_optimizer
from vireid_plugins.engine.step import TrainingStep
from vireid_plugins.modeling.backbones.multi_stream import compile_stages
from vireid_plugins.modeling.baseline import CrossModalityBaseline
from vireid_plugins.modeling.cluster_contrast import ClusterContrast
from vireid_plugins.unsupervised.state import EpochState

# P, K and size on a CPU, so that a step takes seconds; on CUDA they are the configuration's own.
Small = tuple[int, int, tuple[int, int]]
SMALL: Small = size((4, 2, (288, 144)), (2, 2, (96, 48)))
# Steps a run: on CUDA one is too short to time.
STEPS = {"cpu": 1, "cuda": 10}


def _network(method: str, device: str, *overrides: str, small: Small = SMALL) -> tuple[CfgNode, CrossModalityBaseline]:
    cfg = get_cfg()
    cfg.merge_from_file(config_path(f"SYSU/{method}.yml"))
    given = ["MODEL.BACKBONE.PRETRAIN", "False", "MODEL.DEVICE", device, "MODEL.HEADS.NUM_CLASSES", "395"]
    cfg.merge_from_list([*given, *network(method), *overrides])
    if device == "cpu":
        identities, instances, size = small
        given = ["INPUT.SIZE_TRAIN", str(list(size)), "INPUT.SIZE_TEST", str(list(size))]
        given += ["DATALOADER.NUM_INSTANCE", str(instances), "SOLVER.IMS_PER_BATCH", str(2 * identities * instances)]
        cfg.merge_from_list(given)
    torch.backends.cudnn.benchmark = cfg.CUDNN_BENCHMARK
    torch.manual_seed(0)
    model: CrossModalityBaseline = build_model(cfg).to(device).train()
    if isinstance(model, ClusterContrast):
        model.begin_epoch(_epoch(cfg, model))
    return cfg, model


def _epoch(cfg: CfgNode, model: CrossModalityBaseline) -> EpochState:
    """Return an epoch that associates clusters, of which each modality has as many as SYSU-MM01 has identities."""
    clusters = cfg.MODEL.HEADS.NUM_CLASSES
    rows = F.normalize(torch.randn(clusters, model.backbone.channels["stage4"]))
    same = torch.arange(clusters)
    memories = {"visible": rows.clone(), "infrared": rows.clone()}
    return EpochState(memories=memories, association={"r2i": same, "i2r": same})


def _batch(cfg: CfgNode, channels_last: bool = True) -> dict[str, Any]:
    """Return random images in block order on the host, stored channels last as by our collate function, or first."""
    batch = block_batch(cfg)
    paths = batch.pop("img_paths")
    if not channels_last:
        batch["images"] = batch["images"].contiguous()
    if torch.cuda.is_available():
        batch = {key: column.pin_memory() for key, column in batch.items()}
    return {**batch, "img_paths": paths}


def _fastreid(method: str, folder: Path, device: str, *, small: Small = SMALL) -> Callable[[], object]:
    """fast-reid's training step, its optimizer without the buffer that torch 2 unhooks, float images channels first."""
    cfg, model = _network(method, device, small=small)
    batch = _batch(cfg)
    batch["images"] = batch["images"].float().contiguous()
    optimizer, groups = fastreid_optimizer(cfg, model, contiguous=False)
    trainer = SimpleTrainer(model, repeat(batch), optimizer, groups)
    trainer.iter = 0
    return _logged(trainer.run_step, device, cfg)


def ours(
    method: str,
    dtype: str,
    keys: Sequence[str],
    folder: Path,
    device: str,
    *,
    small: Small = SMALL,
    channels_last: bool = True,
) -> Callable[[], object]:
    """Prepare our trainer's step.

    Args:
        method: the method's configuration for SYSU-MM01, without `.yml`.
        dtype: autocast type; `float32` is no autocast.
        keys: overrides of the configuration.
        folder: see `Subject.prepare`.
        device: see `Subject.prepare`.
        small: P, K and image size on a CPU.
        channels_last: whether the batch's images are stored channels last.
    """
    cfg, model = _network(method, device, *keys, small=small)
    if cfg.MODEL.COMPILE:
        compile_stages(model)
    trainer: Any = SimpleTrainer(model, repeat(_batch(cfg, channels_last)), build_optimizer(cfg, model), None)
    trainer.iter = 0
    average = WeightAverage(model, cfg.SOLVER.EMA_DECAY) if cfg.SOLVER.EMA_DECAY else None
    metrics = StepMetrics(cfg.SOLVER.METRICS_PERIOD)
    metrics.trainer = trainer
    scaler = torch.amp.GradScaler(device, enabled=dtype == "float16")
    type_ = None if dtype == "float32" else getattr(torch, dtype)
    take_step = TrainingStep(model, trainer.optimizer, type_, scaler, parts=cfg.SOLVER.ACCUMULATE)

    def step() -> None:
        metrics.record(take_step(trainer._data_loader_iter))
        if average:
            average.after_step()

    return _logged(step, device, cfg)


def ceiling(method: str, dtype: str, folder: Path, device: str, *, small: Small = SMALL) -> Callable[[], object]:
    """Prepare forward and backward of the network alone, on normalized images in device memory; see `ours`."""
    cfg, model = _network(method, device, small=small)
    batch = _batch(cfg)
    images, targets = model.normalize(batch["images"]), batch["targets"].to(device)
    autocast = torch.autocast(device, dtype=getattr(torch, dtype), enabled=dtype != "float32")

    def step() -> None:
        model.zero_grad(set_to_none=True)
        with autocast:
            maps = model.extract(images, batch["modalities"], batch["views"])
            inputs = model.loss_inputs(maps, targets, batch["modalities"], batch["views"])
        torch.stack([x.float().sum() for one in inputs for x in outputs_of(one)]).sum().backward()

    return _logged(step, device, cfg)


def _logged(step: Callable[[], object], device: str, cfg: CfgNode) -> Callable[[], object]:
    """Run steps inside an event storage for fast-reid's metrics, and return the number of images."""
    storage = EventStorage()
    steps = STEPS[torch.device(device).type]
    views = len(cfg.INPUT.VIEWS.VISIBLE) + len(cfg.INPUT.VIEWS.INFRARED)

    def run() -> dict[str, int]:
        with storage:
            for _ in range(steps):
                step()
                # As in training, the accuracy of a batch is not read from the device at every step.
                storage.step()
        return {"items": steps * cfg.SOLVER.IMS_PER_BATCH // 2 * views}

    return run


METHODS = {
    "one_stream": "one-stream", "agw": "AGW", "deen": "DEEN", "wrim": "WRIM-Net", "idkl": "IDKL",
    "mscm": "MSCMNet", "icre": "ICRE", "mpanet": "MPANet", "saai": "SAAI", "pmt": "PMT", "rle": "RLE",
    "adca": "ADCA", "pgm": "PGM",
}  # fmt: skip
# Each configuration key that changes speed or memory, in addition to bfloat16.
KEYS = {
    "MODEL.COMPILE": ["MODEL.COMPILE", "True"],
    "MODEL.RECOMPUTE_ACTIVATIONS": ["MODEL.RECOMPUTE_ACTIVATIONS", "True"],
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
    found = [Subject(task, "fast-reid, float32", partial(_fastreid, method))]
    # At the smallest size, half precision once: it is slow where the processor has no instructions for it.
    for dtype in ("float32",) if SMALLEST and method != "wrim" else ("float32", "bfloat16"):
        bare = f"bare network, {dtype}"
        found.append(Subject(task, bare, partial(ceiling, method, dtype)))
        whole = partial(ours, method, dtype, ())
        found.append(Subject(task, f"this package, {dtype}", whole, ceiling=bare))
    if method == "wrim":
        for key, words in KEYS.items():
            keyed = partial(ours, method, "bfloat16", words)
            found.append(Subject(task, f"bfloat16, {key}", keyed, ceiling="bare network, bfloat16"))
    return found


SUBJECTS = [subject for method, name in METHODS.items() for subject in _subjects(method, name)]
