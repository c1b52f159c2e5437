"""What a run would be: a few of its steps, taken without an output folder, a log or a checkpoint."""

import resource
import statistics
import sys
import tempfile
import time
from collections.abc import Mapping
from typing import Any, NamedTuple

import torch
from fastreid.config import CfgNode
from fastreid.engine.hooks import PreciseBN
from fastreid.engine.train_loop import HookBase
from fastreid.utils.events import EventStorage

from vireid_plugins.data import loader_of_test_set
from vireid_plugins.data.batch import INFRARED, VISIBLE, Batch
from vireid_plugins.engine.hooks.checkpoints import Checkpoints
from vireid_plugins.engine.hooks.clustering import Clustering
from vireid_plugins.engine.hooks.evaluations import Evaluations
from vireid_plugins.engine.hooks.progress import Progress
from vireid_plugins.engine.hooks.step_metrics import StepMetrics
from vireid_plugins.engine.hooks.stop_on_signal import StopOnSignal
from vireid_plugins.engine.hooks.writers import Writers
from vireid_plugins.engine.loggers import require_loggers
from vireid_plugins.engine.memory import explained
from vireid_plugins.engine.stages import checked_stages
from vireid_plugins.engine.trainer import Trainer

# Hooks that write, score or stop a run, or need all of it.
_LEFT_OUT = (Checkpoints, Evaluations, PreciseBN, Progress, StepMetrics, StopOnSignal, Writers)


class Images(NamedTuple):
    """Number of images by modality, and of identities; 0: nobody knows it."""

    visible: int
    infrared: int
    identities: int


class DryRun(NamedTuple):
    """What a few steps of a run have shown.

    Attributes:
        batch: the first training batch, as the network gets it.
        trained: the training images.
        tested: the test images by data set.
        steps: steps per epoch.
        loss: sum of the losses of the first step.
        seconds: median seconds of a step after the first.
        waited: median seconds of these that a step waited for its images.
        peak: largest memory in bytes: of the device on CUDA, else resident memory of the process.
        evaluation: seconds that an evaluation spends on extracting features, from one batch of each test set.
        evaluations: number of evaluations.
    """

    batch: Batch
    trained: Images
    tested: Mapping[str, Images]
    steps: int
    loss: float
    seconds: float
    waited: float
    peak: int
    evaluation: float
    evaluations: int


def dry_run(cfg: CfgNode, steps: int = 4) -> DryRun:
    """Take a few steps of a run and embed a batch of each test set; nothing of it stays.

    Args:
        cfg: the configuration.
        steps: steps that are timed, after a first one that is not.

    Raises:
        ConfigError, DataError: what a training would raise before its first step.
        OutOfMemoryError: the batch does not fit.
    """
    require_loggers(cfg.LOGGERS)
    with tempfile.TemporaryDirectory(prefix="vireid_dry_run_") as folder:
        cfg = cfg.clone()
        cfg.defrost()
        # A cache would stay, and to fill one takes longer than everything else.
        cfg.OUTPUT_DIR, cfg.LOGGERS, cfg.DATALOADER.CACHE = folder, [], ""
        # Every stage takes such steps.
        cfg = checked_stages(cfg)[0]
        trainer = Trainer(cfg)
        trainer.resume_or_load(resume=False)
        first, taken = _steps(trainer, steps + 1)
        evaluation = sum(_extraction(trainer, name) for name in trainer.plans)
    images = trainer.data_loader.images
    return DryRun(
        batch=first.batch,
        trained=_images(images.modalities, images.truth if trainer.data_loader.labeled else ()),
        tested={name: _images(*_labels(plan.dataset)) for name, plan in trainer.plans.items()},
        steps=trainer.iters_per_epoch,
        loss=float(sum(value.item() for value in first.losses.values())),
        seconds=statistics.median(seconds for seconds, _ in taken[1:] or taken),
        waited=statistics.median(waited for _, waited in taken[1:] or taken),
        peak=_peak(cfg.MODEL.DEVICE),
        evaluation=evaluation,
        evaluations=-(-cfg.SOLVER.MAX_EPOCH // cfg.TEST.EVAL_PERIOD) if trainer.plans else 0,
    )


def _steps(trainer: Trainer, count: int) -> tuple[Any, list[tuple[float, float]]]:
    """Take steps; return the first one's result, and the seconds and the wait of each."""
    hooks = [hook for hook in trainer._hooks if not isinstance(hook, _LEFT_OUT)]
    # To extract features and to cluster them takes longer than everything else: the clusters are made up.
    begin: Any = [hook for hook in hooks if not isinstance(hook, Clustering)]
    taken: list[tuple[float, float]] = []
    first: Any = None
    trainer.iter = trainer.start_iter = trainer.epoch = 0
    batches: Any = None
    try:
        with EventStorage(0) as trainer.storage, explained(trainer.cfg, training=True):
            _call(hooks, "before_train")
            _call(begin, "before_epoch")
            if trainer.clustering:
                trainer.clustering.rehearse()
                count = min(count, trainer.iters_per_epoch)
            batches = trainer.data_loader.starting_at(0)
            for trainer.iter in range(count):
                start = time.perf_counter()
                _call(hooks, "before_step")
                result = trainer.take_step(batches)
                _call(hooks, "after_step")
                _synchronize(trainer.cfg.MODEL.DEVICE)
                taken.append((time.perf_counter() - start, result.waited))
                first = first or result
    finally:
        if batches is not None:
            batches.close()
    return first, taken


def _call(hooks: list[HookBase], *events: str) -> None:
    for event in events:
        for hook in hooks:
            getattr(hook, event)()


def _extraction(trainer: Trainer, name: str) -> float:
    """Return the seconds that extracting the features of a test set takes, from its first batch."""
    cfg = trainer.cfg
    loader = loader_of_test_set(cfg, trainer.plans[name].dataset)
    batches = iter(loader)
    trainer.model.eval()
    start = time.perf_counter()
    with torch.no_grad(), explained(cfg, training=False):
        batch = next(batches)
        for _ in range(2 if cfg.TEST.FLIP.ENABLED else 1):
            trainer.model(batch)
        _synchronize(cfg.MODEL.DEVICE)
    seconds = time.perf_counter() - start
    del batches
    return seconds * len(loader)


def _labels(dataset: Any) -> tuple[list[int], list[int]]:
    items = [*dataset.query, *dataset.gallery]
    return [dataset.modality(item) for item in items], [item[1] for item in items]


def _images(modalities: Any, identities: Any) -> Images:
    listed = [int(modality) for modality in modalities]
    return Images(listed.count(VISIBLE), listed.count(INFRARED), len({int(one) for one in identities}))


def _synchronize(device: str) -> None:
    if device.startswith("cuda"):
        torch.cuda.synchronize(device)


def _peak(device: str) -> int:
    if device.startswith("cuda"):
        return torch.cuda.max_memory_allocated(device)
    # In KiB, on macOS in bytes.
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
