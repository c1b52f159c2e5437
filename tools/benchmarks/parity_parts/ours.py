"""Take steps with this package: the network, losses, optimizer, schedule and training step of a shipped config."""

import contextlib
from collections.abc import Mapping
from typing import Any

import torch
from fastreid.config import CfgNode
from fastreid.modeling.meta_arch import build_model
from shared_parts.errors import BenchmarkError
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from parity_parts.exchange import Desk, Job, Step, cpu_seconds, finish
from parity_parts.formula import Shape, fill
from parity_parts.repositories import spread
from vireid_plugins.checkpoints import LAYOUTS, convert
from vireid_plugins.config import config_path, get_cfg
from vireid_plugins.data.batch import INFRARED, VISIBLE
from vireid_plugins.data.samplers import SAMPLER_REGISTRY
from vireid_plugins.engine.hooks.lr_schedule import build_lr_scheduler
from vireid_plugins.engine.optimizer import build_optimizer
from vireid_plugins.engine.step import TrainingStep


def take_steps(desk: Desk, job: Job, shapes: Mapping[str, Shape]) -> None:
    """Send the length of an epoch of the shipped config, then take a step on every batch; see `exchange.Side`.

    Args:
        desk: sends (count operations, steps per epoch, batch, the public side's weights before the step or nothing).
        job: the job.
        shapes: shapes in the public code's state dict.
    """
    torch.set_num_threads(1)
    torch.manual_seed(0)
    Training(job, shapes).serve(desk)


class Training:
    """Training of a job without data loader and hooks.

    Args:
        job: the job.
        shapes: shapes in the public code's state dict, by which the weights are filled.
    """

    def __init__(self, job: Job, shapes: Mapping[str, Shape]) -> None:
        self.job = job
        classifier = LAYOUTS[job.layout].classifier
        self.cfg = config(job, shapes[classifier][0])
        network: nn.Module = build_model(self.cfg)
        network.load_state_dict(converted(shapes, job))
        self.network = network.double() if job.double else network
        if job.double:
            for module in network.modules():
                if isinstance(module, nn.Dropout):
                    module.p = 0.0
        self.network.train()
        self.optimizer = build_optimizer(self.cfg, self.network)
        self.schedule: Any = None
        self.start = {key: value.clone() for key, value in self._tensors().items()} if job.details else {}
        self.pooled: Tensor | None = None
        heads: Any = self.network.heads
        head: Any = next(iter(heads.values()))
        head.pool_layer.register_forward_hook(self._keep_feature)

    def serve(self, desk: Desk) -> None:
        """Answer with a `Step` for every batch."""
        shipped = get_cfg()
        shipped.merge_from_file(config_path(self.job.config))
        desk.tell(epoch_length(shipped, self.job.dataset))
        while True:
            count, epoch_steps, batch, state = desk.wait()
            ready = self._batch(batch)
            gradients = self.gradients_from(state, ready) if state else {}
            taken = self.step(ready, epoch_steps, count)
            # In the first step both sides have the same weights.
            taken.gradients = gradients or self._gradients()
            desk.tell(finish(taken))

    def step(self, batch: dict[str, Any], epoch_steps: int, count: bool) -> Step:
        """Take one step.

        Args:
            batch: a batch of this package.
            epoch_steps: number of steps per epoch.
            count: count the operations.
        """
        if self.schedule is None:
            (self.schedule,) = build_lr_scheduler(self.cfg, self.optimizer, epoch_steps).values()
        taken = Step(rates=self._rates(), epoch_steps=epoch_steps)
        take_step = TrainingStep(self.network, self.optimizer)
        counter = FlopCounterMode(display=False) if count else contextlib.nullcontext()
        with counter:
            started = cpu_seconds()
            losses = take_step(iter([batch])).losses
            self.schedule.step()
            # As the public scripts do, for their meters.
            taken.terms = {name: float(value) for name, value in losses.items()}
            taken.seconds = cpu_seconds() - started
        taken.operations = counter.get_total_flops() if isinstance(counter, FlopCounterMode) else 0
        if self.job.details:
            assert self.pooled is not None
            taken.feature = float(self.pooled.norm(dim=1).mean())
            now = self._tensors()
            taken.weights = {key: float(value.norm()) for key, value in now.items()}
            taken.moved = {key: float((value - self.start[key]).norm()) for key, value in now.items()}
        return taken

    def gradients_from(self, state: Mapping[str, Any], batch: dict[str, Any]) -> dict[str, float]:
        """Return the norms of a batch's gradients with other weights, without changing the training state.

        Args:
            state: all weights and running statistics.
            batch: a batch of this package.
        """
        own = {key: value.clone() for key, value in self.network.state_dict().items()}
        self.network.load_state_dict({key: torch.from_numpy(value) for key, value in state.items()})
        self.optimizer.zero_grad(set_to_none=True)
        sum(self.network(batch).values()).backward()
        found = self._gradients()
        self.optimizer.zero_grad(set_to_none=True)
        self.network.load_state_dict(own)
        return found

    def _gradients(self) -> dict[str, float]:
        named = self.network.named_parameters()
        return {key: float(value.grad.norm()) for key, value in named if value.grad is not None}

    def _keep_feature(self, _module: nn.Module, _inputs: Any, output: Tensor) -> None:
        # The first pooling of a step is that of the test feature.
        if self.job.details:
            self.pooled = output.detach().flatten(1)

    def _batch(self, batch: Mapping[str, Any]) -> dict[str, Any]:
        tensors = {key: torch.from_numpy(value) for key, value in batch.items()}
        if not self.job.double:
            # As this package's loader stores them.
            tensors["images"] = tensors["images"].contiguous(memory_format=torch.channels_last)
        return tensors

    def _rates(self) -> dict[str, float]:
        heads: Any = self.network.heads
        # The rate of the first head's classifier; IDKL's modality heads have the same.
        classifier = {id(p) for name, p in heads.named_parameters() if name.endswith(".weight")}
        groups = self.optimizer.param_groups
        rates = {"rest": groups[0]["lr"], "heads": groups[-1]["lr"]}
        for group in groups:
            of_heads = any(id(p) in classifier for p in group["params"])
            rates["heads" if of_heads else "rest"] = group["lr"]
        return rates

    def _tensors(self) -> dict[str, Tensor]:
        return {key: value for key, value in self.network.state_dict().items() if value.is_floating_point()}


def config(job: Job, classes: int) -> CfgNode:
    """Return the shipped config of a job for CPU steps on noise that is already normalized."""
    scale = job.scale
    cfg = get_cfg()
    cfg.merge_from_file(config_path(job.config))
    cfg.merge_from_list(
        [
            "MODEL.DEVICE", "cpu", "MODEL.BACKBONE.PRETRAIN", "False", "MODEL.HEADS.NUM_CLASSES", str(classes),
            "MODEL.PIXEL_MEAN", "[0.0, 0.0, 0.0]", "MODEL.PIXEL_STD", "[1.0, 1.0, 1.0]", "SOLVER.AMP.ENABLED", "False",
            "INPUT.SIZE_TRAIN", str(list(scale.size)), "INPUT.SIZE_TEST", str(list(scale.size)),
            "DATALOADER.NUM_INSTANCE", str(scale.instances),
            "SOLVER.IMS_PER_BATCH", str(2 * scale.identities * scale.instances),
            "MODEL.RECOMPUTE_ACTIVATIONS", str(job.recompute),
        ]
    )  # fmt: skip
    if job.double:
        # As on the other side: dropout masks cannot be the same. IDKL's modality heads have no key, see `Training`.
        cfg.merge_from_list(["MODEL.DEEN.DROPOUT", "0.0"])
    return cfg


def epoch_length(cfg: CfgNode, dataset: str) -> int:
    """Return the steps per epoch with the sampler of a config, on a data set of the real size.

    Identities have about equally many images, since their numbers are not published.
    """
    visible, infrared = spread(dataset)
    kind = SAMPLER_REGISTRY.get(cfg.DATALOADER.SAMPLER_TRAIN)
    sampler = kind(
        [*visible, *infrared],
        [VISIBLE] * len(visible) + [INFRARED] * len(infrared),
        identities_per_batch=cfg.SOLVER.IMS_PER_BATCH // (2 * cfg.DATALOADER.NUM_INSTANCE),
        instances=cfg.DATALOADER.NUM_INSTANCE,
    )
    return int(sampler.steps)


def converted(shapes: Mapping[str, Shape], job: Job) -> dict[str, Tensor]:
    """Return the filled weights by this package's names, through the rules that convert public checkpoints.

    Raises:
        BenchmarkError: a weight of our network has no counterpart.
    """
    weights = {key: torch.from_numpy(fill(key, shape, job.method, job.salt)) for key, shape in shapes.items()}
    size = str(list(job.scale.size))
    found = convert(job.layout, weights, ["INPUT.SIZE_TRAIN", size, "INPUT.SIZE_TEST", size])
    if found.missing:
        raise BenchmarkError(f"{len(found.missing)} weights have no counterpart there, the first: {found.missing[0]}")
    return found.weights
