"""Count the operations of a training step through torch's dispatcher, on a CPU and in float32.

A call is everything that reaches the dispatcher. An operation is a call that computes: views, detached tensors and
empty allocations are none. The optimizer is left out. Neither number depends on the size of images or batch.
"""

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from fastreid.modeling.meta_arch import build_model
from fastreid.utils.events import EventStorage
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from vireid_plugins.config import CfgNode, config_path, get_cfg
from vireid_plugins.engine.hooks.step_metrics import StepMetrics
from vireid_plugins.engine.step import StepResult, TrainingStep
from vireid_plugins.layers.batch_counters import counted_together
from vireid_plugins.modeling.baseline import CrossModalityBaseline
from vireid_plugins.modeling.loss_inputs import LossInputs

# Calls that compute nothing, in addition to views and to allocations.
FREE = ("aten::_unsafe_view", "aten::detach", "aten::promote_types")
# Changes to a configuration whose feature maps at 64 x 32 would be too small for it; the operations stay the same.
TINY = {
    "mscm": ["MODEL.MSCM.HEAD_DIM", "4"],
    "mscm_released": ["MODEL.MSCM.HEAD_DIM", "4"],
}


class Calls(TorchDispatchMode):
    """Counts calls and operations inside a `with` block.

    Attributes:
        calls: number of calls.
        operations: number of operations by name.
    """

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.calls = 0
        self.operations: Counter[str] = Counter()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Count and run one call."""
        self.calls += 1
        if not (func.is_view or func.name() in FREE or "empty" in func.name()):
            self.operations[func.name()] += 1
        return func(*args, **(kwargs or {}))


@dataclass(frozen=True)
class StepOperations:
    """What a method's step consists of.

    Attributes:
        network: operations of the bare network, forward and backward of its summed outputs; as in our step, the
            counters of all batch norms are advanced in one.
        step: operations of forward, losses, backward and metrics between two reads.
        calls: all calls of forward, losses and backward.
    """

    network: int
    step: int
    calls: int

    @property
    def share(self) -> float:
        """Share of the step's operations that are not the network's."""
        return 1 - self.network / self.step


def step_operations(config: str) -> StepOperations:
    """Count the operations of a step of a shipped configuration, given by its path without `.yml`: `SYSU/wrim`."""
    cfg, model = small_network(config)
    batch = block_batch(cfg)
    network = _bare(model, batch)
    model.zero_grad(set_to_none=True)
    metrics, step = StepMetrics(period=1000), TrainingStep(model, torch.optim.SGD(model.parameters(), lr=0.0))
    metrics.first, metrics.trainer = False, _Trainer
    with EventStorage() as storage:
        # Not one of the steps at which the accuracy is read.
        storage.iter = 1
        with Calls() as counted:
            losses = step._forward_and_backward(batch)
        with Calls() as recorded:
            metrics.record(StepResult(losses, batch, 0.0, skipped=False))
    operations = sum((counted.operations + recorded.operations).values())
    return StepOperations(network, operations, counted.calls)


class _Trainer:
    """What `StepMetrics` asks its trainer for."""

    iter = 1


def _bare(model: CrossModalityBaseline, batch: dict[str, Any]) -> int:
    """Count forward and backward of the network alone."""
    model.zero_grad(set_to_none=True)
    with Calls() as counted:
        with counted_together(model):
            maps = model.extract(model.normalize(batch["images"]), batch["modalities"], batch["views"])
            inputs = model.loss_inputs(maps, batch["targets"], batch["modalities"], batch["views"])
        torch.stack([x.float().sum() for one in inputs for x in outputs_of(one)]).sum().backward()
    return sum(counted.operations.values())


def outputs_of(inputs: LossInputs) -> list[Tensor]:
    """Return every tensor that the losses use and that has a gradient."""
    found: list[Tensor] = []

    def note(x: Tensor) -> Tensor:
        found.append(x)
        return x

    inputs.mapped(note, lambda column: column)
    return [x for x in found if x.requires_grad]


def small_network(config: str) -> tuple[CfgNode, CrossModalityBaseline]:
    """Return a configuration at a small size, and its network in training mode with constant weights."""
    cfg = get_cfg()
    cfg.merge_from_file(config_path(f"{config}.yml"))
    keys = ["MODEL.BACKBONE.PRETRAIN", "False", "MODEL.DEVICE", "cpu", "MODEL.HEADS.NUM_CLASSES", "8"]
    # MIIM's attention needs two keys per feature map, and thus larger images.
    size = "[128, 64]" if config.endswith("wrim") else "[64, 32]"
    keys += ["INPUT.SIZE_TRAIN", size, "INPUT.SIZE_TEST", size]
    keys += ["DATALOADER.NUM_INSTANCE", "2", "SOLVER.IMS_PER_BATCH", "16"]
    cfg.merge_from_list([*keys, *TINY.get(config.split("/")[-1], [])])
    with _without_initialization():
        model: CrossModalityBaseline = build_model(cfg).train()
    return cfg, model


@contextmanager
def _without_initialization() -> Iterator[None]:
    """Leave out drawing initial weights, which takes longer than the step; counts do not depend on values."""
    names = ("normal_", "uniform_", "kaiming_normal_", "kaiming_uniform_", "xavier_uniform_", "trunc_normal_")
    kept = {name: getattr(torch.nn.init, name) for name in names}

    def leave(tensor: Tensor, *arguments: Any, **named: Any) -> Tensor:
        with torch.no_grad():
            return tensor.fill_(0.01)

    try:
        for name in names:
            setattr(torch.nn.init, name, leave)
        yield
    finally:
        for name, function in kept.items():
            setattr(torch.nn.init, name, function)


def block_batch(cfg: CfgNode) -> dict[str, Any]:
    """Return a batch of random images in block order."""
    views = (len(cfg.INPUT.VIEWS.VISIBLE), len(cfg.INPUT.VIEWS.INFRARED))
    blocks = torch.tensor([(modality, view) for modality in (0, 1) for view in range(views[modality])])
    instances = cfg.DATALOADER.NUM_INSTANCE
    identities = cfg.SOLVER.IMS_PER_BATCH // (2 * instances)
    rows = identities * instances
    # Stored channels last, as by our collate function.
    pixels = torch.randint(0, 256, (rows * len(blocks), *cfg.INPUT.SIZE_TRAIN, 3), dtype=torch.uint8)
    return {
        "images": pixels.permute(0, 3, 1, 2),
        "targets": torch.arange(identities).repeat_interleave(instances).repeat(len(blocks)),
        "camids": torch.ones(rows * len(blocks), dtype=torch.long),
        "modalities": blocks[:, 0].repeat_interleave(rows),
        "views": blocks[:, 1].repeat_interleave(rows),
        "img_paths": [f"{row}.jpg" for row in range(rows * len(blocks))],
    }
