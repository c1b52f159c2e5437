"""Growth of memory and open files over thousands of steps and tens of evaluations."""

import os
import resource
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from fastreid.engine.train_loop import HookBase

from speed_parts.measure import Subject
from speed_parts.sizes import size
from vireid_plugins.config import config_path, get_cfg
from vireid_plugins.data.synthetic import SysuSize, write_sysu
from vireid_plugins.engine import Trainer

STEPS, EVALUATIONS = size((2000, 50), (4, 2))
TREE = SysuSize(train=size(16, 4), val=size(2, 1), test=size(8, 5), images=size(4, 2), height=64, width=32)
# Overrides for cheap steps and evaluations: their number matters here, not their size.
KEYS = [
    *("MODEL.BACKBONE.PRETRAIN", "False", "MODEL.BACKBONE.DEPTH", "18x", "SOLVER.IMS_PER_BATCH", "16"),
    *("DATALOADER.NUM_INSTANCE", "2", "INPUT.SIZE_TRAIN", "[32, 16]", "INPUT.SIZE_TEST", "[32, 16]"),
    *("TEST.EVAL_PERIOD", "1", "SOLVER.CHECKPOINT_PERIOD", "5"),
    *("SOLVER.WARMUP_ITERS", "0", "SOLVER.STEPS", "[1000]"),
    *size((), ("MODEL.STREAMS.BACKBONE", "build_osnet_backbone", "MODEL.BACKBONE.DEPTH", "x0_25")),
]


class Watch(HookBase):
    """Records resident memory and open files after each epoch and its evaluation."""

    def __init__(self) -> None:
        self.memory: list[float] = []
        self.handles: list[int] = []

    def after_epoch(self) -> None:
        """Note them."""
        pages = int(Path("/proc/self/statm").read_text().split()[1])
        self.memory.append(pages * resource.getpagesize() / 2**20)
        self.handles.append(len(list(Path("/proc/self/fd").iterdir())))


def _training(workers: int, folder: Path, device: str) -> Callable[[], object]:
    """Train with an evaluation per epoch, for as many epochs as both numbers need."""
    write_sysu(folder / "SYSU-MM01", TREE, workers=1)
    os.environ["FASTREID_DATASETS"] = str(folder)
    cfg = get_cfg()
    cfg.merge_from_file(config_path("SYSU/one_stream.yml"))
    out = folder / f"out {workers}"
    out.mkdir(exist_ok=True)
    cfg.merge_from_list([*KEYS, "OUTPUT_DIR", str(out), "MODEL.DEVICE", device, "DATALOADER.NUM_WORKERS", str(workers)])
    steps = Trainer.build_train_loader(cfg).sampler.steps
    cfg.SOLVER.MAX_EPOCH = max(EVALUATIONS, -(-STEPS // steps))

    def run() -> dict[str, Any]:
        trainer = Trainer(cfg)
        watch = Watch()
        trainer.register_hooks([watch])
        trainer.train()
        # The first fifth fills the allocator, caches and compiled loops.
        late = len(watch.memory) // 5
        memory, handles = np.array(watch.memory[late:]), np.array(watch.handles[late:])
        slope = np.polyfit(np.arange(len(memory)) * steps / 1000, memory, 1)[0]
        return {
            "steps": float(trainer.iter),
            "evaluations": float(len(watch.memory)),
            "MiB at a fifth": float(memory[0]),
            "MiB at the end": float(memory[-1]),
            "MiB a 1,000 steps": float(slope),
            "files at a fifth": float(handles[0]),
            "files at the end": float(handles[-1]),
        }

    return run


SUBJECTS = [
    Subject(
        f"{STEPS:,} steps and {EVALUATIONS} evaluations", f"{workers} workers", partial(_training, workers), slow=True
    )
    for workers in (0, 1)
]
