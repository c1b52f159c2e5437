"""Optimiser, schedule, steps, checkpoints: the trouble without the patch, its absence with it."""

from collections import OrderedDict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from fastreid.config import CfgNode, get_cfg
from fastreid.engine import defaults, hooks, train_loop
from fastreid.solver import build_lr_scheduler, build_optimizer
from fastreid.utils.checkpoint import Checkpointer
from fastreid.utils.events import EventStorage
from torch import nn

from vireid_plugins.compat import patch, unpatch

pytestmark = pytest.mark.usefixtures("unpatched")


class Regression(nn.Module):
    """A model with what fast-reid's optimiser rules look at."""

    def __init__(self) -> None:
        super().__init__()
        self.backbone = nn.Sequential(nn.Linear(4, 4), nn.BatchNorm1d(4))
        self.heads = nn.Linear(4, 1)

    def forward(self, batch: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        return {"loss": self.heads(self.backbone(batch["images"])).square().mean()}


class _Dataset(list):  # type: ignore[type-arg]
    num_classes = 2


class Stream:
    """A loader of endless batches."""

    dataset = _Dataset(range(20))

    def __iter__(self) -> Iterator[dict[str, torch.Tensor]]:
        generator = torch.Generator().manual_seed(1)
        while True:
            yield {"images": torch.randn(8, 4, generator=generator)}


def _solver(**values: Any) -> CfgNode:
    cfg = get_cfg()
    cfg.SOLVER.BASE_LR = 0.1
    cfg.SOLVER.WARMUP_ITERS = 0
    for name, value in values.items():
        cfg.SOLVER[name] = value
    return cfg


def _steps(cfg: CfgNode, kind: Any = train_loop.SimpleTrainer, steps: int = 3) -> tuple[list[torch.Tensor], Any]:
    torch.manual_seed(0)
    model = Regression()
    before = [p.detach().clone() for p in model.parameters()]
    trainer = kind(model, Stream(), *build_optimizer(cfg, model))
    with EventStorage():
        for trainer.iter in range(steps):
            trainer.run_step()
    return [(p - q).abs().max() for p, q in zip(model.parameters(), before, strict=True)], trainer


@pytest.mark.parametrize("optimizer", ["SGD", "Adam"])
def test_contiguous_parameters_change(optimizer: str) -> None:
    cfg = _solver(OPT=optimizer)
    assert all(change == 0 for change in _steps(cfg)[0])
    patch(only=["contiguous"])
    changes, trainer = _steps(cfg)
    # The bias before a batch norm has no gradient to speak of, but Adam moves it.
    assert sum(change > 0 for change in changes) >= len(changes) - 1
    assert len(trainer.optimizer.param_groups) < len(changes)


class _Run(train_loop.TrainerBase):
    """Three iterations an epoch of nothing but a schedule."""

    def __init__(self, cfg: CfgNode) -> None:
        super().__init__()
        self.model = Regression()
        self.optimizer = torch.optim.SGD(self.model.parameters(), lr=cfg.SOLVER.BASE_LR)
        self.scheduler = build_lr_scheduler(cfg, self.optimizer, 3)
        self.warmup_iters, self.delay_epochs, self.grad_scaler = cfg.SOLVER.WARMUP_ITERS, 0, None
        self.rates: list[float] = []
        self.register_hooks([hooks.LRScheduler(self.optimizer, self.scheduler)])

    def run_step(self) -> None:
        self.optimizer.step()
        if self.iter % 3 == 2:
            self.rates.append(self.optimizer.param_groups[0]["lr"])


def test_schedule_counts_epochs_of_the_run() -> None:
    cfg = _solver(STEPS=[5, 8], WARMUP_ITERS=9, GAMMA=0.1, SCHED="MultiStepLR")

    def drops() -> list[int]:
        run = _Run(cfg)
        run.train(0, 12, 3)
        return [epoch for epoch in range(1, 12) if run.rates[epoch] < 0.5 * run.rates[epoch - 1]]

    assert drops() == [7, 10]
    patch(only=["schedule"])
    assert drops() == [5, 8]
    cosine = _Run(_solver(WARMUP_ITERS=9, SCHED="CosineAnnealingLR", MAX_EPOCH=12))
    cosine.train(0, 12, 3)
    unpatch()
    before = _Run(_solver(WARMUP_ITERS=9, SCHED="CosineAnnealingLR", MAX_EPOCH=12))
    before.train(0, 12, 3)
    assert cosine.rates == before.rates


@pytest.mark.filterwarnings("ignore:.*GradScaler")
def test_amp_steps_on_the_model_s_device_and_clips_true_gradients() -> None:
    cfg = _solver(OPT="SGD", MOMENTUM=0.0)
    cfg.SOLVER.CLIP_GRADIENTS.ENABLED = True
    cfg.SOLVER.CLIP_GRADIENTS.CLIP_TYPE = "value"
    cfg.SOLVER.CLIP_GRADIENTS.CLIP_VALUE = 1e4
    patch(only=["contiguous"])
    if not torch.cuda.is_available():
        with pytest.raises(AssertionError, match="CUDA is required"):
            _steps(cfg, train_loop.AMPTrainer)
    patch(only=["amp"])
    plain, _ = _steps(cfg)
    mixed, trainer = _steps(cfg, train_loop.AMPTrainer)
    assert trainer.grad_scaler.get_scale() > 1
    # bfloat16 has eight bits of mantissa; clipped while scaled by 65536, steps would be six times too small.
    for a, b in zip(mixed, plain, strict=True):
        torch.testing.assert_close(a, b, rtol=0.1, atol=1e-3)


class _Trained(train_loop.TrainerBase):
    """fast-reid's loop around a `SimpleTrainer`."""

    def __init__(self, cfg: CfgNode) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.model = Regression()
        self._trainer = train_loop.SimpleTrainer(self.model, Stream(), *build_optimizer(cfg, self.model))
        self.optimizer = self._trainer.optimizer
        self.register_hooks([hooks.LayerFreeze(self.model, cfg.MODEL.FREEZE_LAYERS, cfg.SOLVER.FREEZE_ITERS)])

    def run_step(self) -> None:
        self._trainer.iter = self.iter
        self._trainer.run_step()


def _frozen_changes(start: int) -> tuple[float, float]:
    """How far weight and batch mean of a nested layer move in two iterations of the run's second epoch."""
    cfg = _solver(FREEZE_ITERS=2, OPT="SGD")
    cfg.MODEL.FREEZE_LAYERS = ["backbone.0", "backbone.1"]
    run = _Trained(cfg)
    weight, mean = run.model.backbone[0].weight.detach().clone(), run.model.backbone[1].running_mean.clone()
    run.train(start, start + 1, 2)
    return (
        float((run.model.backbone[0].weight.detach() - weight).abs().max()),
        float((run.model.backbone[1].running_mean - mean).abs().max()),
    )


def test_freeze_holds_what_is_named_for_the_iterations_of_the_run() -> None:
    patch(only=["contiguous"])
    weight, mean = _frozen_changes(start=0)
    assert weight == 0
    assert mean > 0, "without the patch nested statistics move"
    assert _frozen_changes(start=1)[0] == 0, "without the patch a resumed run freezes again"
    patch(only=["freeze"])
    assert _frozen_changes(start=0) == (0, 0)
    weight, mean = _frozen_changes(start=1)
    assert weight > 0
    assert mean > 0


class _Resumable(defaults.DefaultTrainer):
    """fast-reid's trainer over `Regression`; its score is what it is told."""

    score = np.float64(0)

    @classmethod
    def build_model(cls, cfg: CfgNode) -> nn.Module:
        return Regression()

    @classmethod
    def build_train_loader(cls, cfg: CfgNode) -> Any:
        return Stream()

    @classmethod
    def test(cls, cfg: CfgNode, model: nn.Module) -> "OrderedDict[str, Any]":
        return OrderedDict(metric=cls.score)


def _run(folder: Path, epochs: int, score: float, resume: bool) -> int:
    cfg = _solver(MAX_EPOCH=epochs, IMS_PER_BATCH=4, CHECKPOINT_PERIOD=1)
    cfg.SOLVER.AMP.ENABLED = True
    cfg.TEST.EVAL_PERIOD = 1
    folder.mkdir(exist_ok=True)
    cfg.OUTPUT_DIR = str(folder)
    cfg.DATASETS.TESTS = ("one",)
    _Resumable.score = np.float64(score)
    trainer = _Resumable(cfg)
    trainer.resume_or_load(resume=resume)
    good_steps = trainer.grad_scaler.state_dict()["_growth_tracker"]
    trainer.train()
    return good_steps


def test_resume_keeps_the_best_score_and_the_scaler(tmp_path: Path) -> None:
    patch(only=["contiguous", "amp"])
    for names, good_steps, best in (([], 0, 0.1), (["resume"], 10, 0.9)):
        patch(only=names)
        folder = tmp_path / str(len(names))
        _run(folder, 2, 0.9, resume=False)
        assert _run(folder, 3, 0.1, resume=True) == good_steps, "two epochs of five steps"
        assert Checkpointer(Regression()).load(str(folder / "model_best.pth"))["metric"] == best
