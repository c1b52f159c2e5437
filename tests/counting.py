"""A method whose hook records when it is called, and one of whose losses starts with the second epoch."""

import json
from argparse import Namespace
from pathlib import Path
from typing import Any

from fastreid.config import CfgNode
from fastreid.engine.train_loop import HookBase
from fastreid.modeling.meta_arch.build import META_ARCH_REGISTRY
from fastreid.utils import comm
from fastreid.utils.events import get_event_storage
from helpers import small_cfg
from torch import Tensor

from vireid_plugins.engine import Trainer
from vireid_plugins.modeling import CrossModalityBaseline
from vireid_plugins.modeling.loss_inputs import LossInputs


class Count(HookBase):
    """Notes epoch, iteration and steps of the optimizer whenever it is called."""

    trainer: Any

    def __init__(self) -> None:
        self.seen: list[list[Any]] = []

    def _note(self, when: str) -> None:
        trainer = self.trainer
        states = trainer.optimizer.state.values()
        steps = max((int(state["step"]) for state in states), default=0)
        self.seen.append([when, trainer.epoch, trainer.iter, steps])

    def before_epoch(self) -> None:
        self._note("before epoch")

    def before_step(self) -> None:
        self._note("before step")

    def after_step(self) -> None:
        self._note("after step")

    def state_dict(self) -> dict[str, Any]:
        return {"seen": self.seen}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.seen = state["seen"]


@META_ARCH_REGISTRY.register()
class CountingBaseline(CrossModalityBaseline):
    """The baseline with a `Count`, and with a penalty on features from epoch 1 on."""

    def hooks(self, cfg: CfgNode) -> list[Any]:
        self.count = Count()
        return [self.count]

    def loss_dict(self, inputs: list[LossInputs]) -> dict[str, Tensor]:
        on = float(get_event_storage().epoch >= 1)
        return {**super().loss_dict(inputs), "loss_late": on * inputs[0].branches["global"].pooled.square().mean()}


def counting_cfg(folder: Path, *overrides: str) -> CfgNode:
    keys = ["MODEL.META_ARCHITECTURE", "CountingBaseline", "OUTPUT_DIR", str(folder), "SOLVER.METRICS_PERIOD", "1"]
    keys += ["TEST.PROTOCOLS", "['sysu/agw/all/1shot']", "TEST.EVAL_PERIOD", "3"]
    return small_cfg("SYSU/one_stream.yml", *keys, *overrides)


def train_together(args: Namespace) -> None:
    """Train in several processes and keep what the hook of each has seen in `args.folder`."""
    folder = Path(args.folder)
    trainer = Trainer(counting_cfg(folder / "out", "MODEL.BACKBONE.DEPTH", "18x"))
    trainer.resume_or_load(resume=args.resume)
    trainer.train()
    seen = trainer.checkpointer.model.count.seen
    (folder / f"{comm.get_rank()}.json").write_text(json.dumps(seen))
