"""A training step: fast-reid's, ours, ours in bfloat16."""

from collections.abc import Callable
from functools import partial
from itertools import repeat
from pathlib import Path
from typing import Any

import torch
from fastreid.engine.train_loop import SimpleTrainer
from fastreid.modeling.meta_arch import build_model
from fastreid.solver import build_optimizer as fastreid_optimizer
from fastreid.utils.events import EventStorage
from torch import Tensor, nn

from vireid_plugins.benchmark.measure import Subject
from vireid_plugins.compat.step import take_step
from vireid_plugins.config import CfgNode, config_path, get_cfg
from vireid_plugins.engine.optimizer import build_optimizer

# P x 2K images of a size between the papers', so that a step takes seconds on a CPU.
IDENTITIES, INSTANCES, SIZE = 4, 2, (288, 144)


def _network(method: str, device: str) -> tuple[CfgNode, nn.Module]:
    cfg = get_cfg()
    cfg.merge_from_file(config_path(f"SYSU/{method}.yml"))
    given = ["MODEL.BACKBONE.PRETRAIN", "False", "MODEL.DEVICE", device, "MODEL.HEADS.NUM_CLASSES", "395"]
    given += ["INPUT.SIZE_TRAIN", str(list(SIZE)), "INPUT.SIZE_TEST", str(list(SIZE))]
    cfg.merge_from_list([*given, "DATALOADER.NUM_INSTANCE", str(INSTANCES)])
    torch.manual_seed(0)
    model: nn.Module = build_model(cfg).to(device).train()
    return cfg, model


def _batch(cfg: CfgNode) -> dict[str, Tensor]:
    """Return random images in block order, stored channels last as our collate stores them."""
    views = (len(cfg.INPUT.VIEWS.VISIBLE), len(cfg.INPUT.VIEWS.INFRARED))
    blocks = torch.tensor([(modality, view) for modality in (0, 1) for view in range(views[modality])])
    rows = IDENTITIES * INSTANCES
    pixels = torch.randint(0, 256, (rows * len(blocks), *SIZE, 3), dtype=torch.uint8)
    return {
        "images": pixels.permute(0, 3, 1, 2),
        "targets": torch.arange(IDENTITIES).repeat_interleave(INSTANCES).repeat(len(blocks)),
        "camids": torch.ones(rows * len(blocks), dtype=torch.long),
        "modalities": blocks[:, 0].repeat_interleave(rows),
        "views": blocks[:, 1].repeat_interleave(rows),
    }


def _fastreid(method: str, folder: Path, device: str) -> Callable[[], object]:
    """Its trainer's step, its optimiser without the buffer that torch 2 unhooks, float images channels first."""
    cfg, model = _network(method, device)
    batch = _batch(cfg)
    batch["images"] = batch["images"].float().contiguous()
    optimizer, groups = fastreid_optimizer(cfg, model, contiguous=False)
    trainer = SimpleTrainer(model, repeat(batch), optimizer, groups)
    trainer.iter = 0
    return _logged(trainer.run_step)


def _ours(method: str, dtype: torch.dtype | None, folder: Path, device: str) -> Callable[[], object]:
    cfg, model = _network(method, device)
    trainer: Any = SimpleTrainer(model, repeat(_batch(cfg)), build_optimizer(cfg, model), None)
    trainer.iter = 0
    scaler = torch.amp.GradScaler(device, enabled=False)
    return _logged(partial(take_step, trainer, device, dtype, scaler))


def _logged(step: Callable[[], object]) -> Callable[[], object]:
    """Run a step where fast-reid's metrics have somewhere to go."""
    storage = EventStorage()

    def run() -> None:
        with storage:
            step()

    return run


METHODS = {"one_stream": "one-stream", "wrim": "WRIM-Net", "idkl_released": "IDKL (released)"}
SUBJECTS = [
    subject
    for config, name in METHODS.items()
    for task in (f"a step of {name}, {IDENTITIES} x ({INSTANCES} + {INSTANCES}) images of {SIZE[0]} x {SIZE[1]}",)
    for subject in (
        Subject(task, "fast-reid, float32", partial(_fastreid, config)),
        Subject(task, "this package, float32", partial(_ours, config, None)),
        Subject(task, "this package, bfloat16", partial(_ours, config, torch.bfloat16)),
    )
]
