"""Networks filled by formula, as for the fixtures that were recorded from public code."""

import zlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from fastreid.modeling.meta_arch import build_model
from helpers import ROOT
from torch import Tensor

from vireid_plugins.checkpoints import LAYOUTS, convert
from vireid_plugins.checkpoints.convert import renamed
from vireid_plugins.config import config_path, get_cfg
from vireid_plugins.engine.hooks.lr_schedule import build_lr_scheduler
from vireid_plugins.engine.optimizer import build_optimizer
from vireid_plugins.engine.step import TrainingStep

FIXTURES = ROOT / "tests" / "fixtures"
Shape = tuple[int, ...]
# Of a layout's keys; those of RegDB's DEEN and RLE are derived from the others' below.
FILES = {
    "adca": "agw",
    "agw": "agw",
    "deen": "deen",
    "deen_regdb": "deen",
    "idkl": "idkl_released",
    "mpanet": "mpanet",
    "mscm": "mscm_released",
    "pgm": "agw",
    "pmt": "pmt",
    "rle": "rle",
    "rle_regdb": "rle",
    "saai": "saai",
    "saai_regdb": "saai",
}
# Identities of SYSU-MM01, which the lists of keys were printed with.
PRINTED = 395


def shapes(layout: str, classes: int = PRINTED) -> dict[str, Shape]:
    """Shape by key of the layout's state dict, for so many identities."""
    found = {}
    for line in (FIXTURES / f"{FILES[layout]}.txt").read_text().splitlines():
        key, _, text = line.partition(" ")
        shape = tuple(int(n) for n in text.strip("() ").split(",") if n.strip())
        if layout != "adca" or not key.startswith("NL_"):
            found[key] = (classes, *shape[1:]) if shape[:1] == (PRINTED,) else shape
    return _regdb(found) if layout in ("deen_regdb", "rle_regdb") else found


def _regdb(of: Mapping[str, Shape]) -> dict[str, Shape]:
    """RegDB's DEEN: no MFA3, the expansion on 512 channels, the head on 1,024. RLE has the last alone."""
    half = {1024: 512, 256: 128}
    found = {}
    for key, shape in of.items():
        if key.startswith("DEE."):
            shape = tuple(half.get(n, n) for n in shape)
        elif key.startswith(("bottleneck", "classifier")):
            shape = tuple(1024 if n == 2048 else n for n in shape)
        if not key.startswith("MFA3"):
            found[key] = shape
    return found


def mscm_small(of: Mapping[str, Shape]) -> dict[str, Shape]:
    """MSCMNet's ALBs for 96 x 48 images: tokens of 18 places in place of 288."""
    small = {288: 18, 1152: 72, 864: 54}
    return {
        key: tuple(small.get(n, n) for n in shape) if key.startswith("layerATT") else shape for key, shape in of.items()
    }


def formula(key: str, shape: Shape, salt: int) -> np.ndarray:
    """What the key is filled with, in float64 and before any factor."""
    x = np.random.RandomState((zlib.crc32(key.encode()) + salt) % 2**32).standard_normal(shape)
    if key.endswith("running_mean"):
        return 0.1 * x
    if key.endswith("running_var"):
        return 1 + 0.1 * np.abs(x)
    if key.endswith("bias"):
        return 0.1 * x
    return 0.8 + 0.1 * x if len(shape) == 1 else x * np.sqrt(1 / np.prod(shape[1:]))


def filled(layout: str, of: Mapping[str, Shape], salt: int, factor: Callable[[str, Shape], float]) -> dict[str, Tensor]:
    """A state dict of float32 values; keys that the layout calls unused are zero, since drawing takes longest.

    Args:
        layout: of the keys.
        of: shape by key.
        salt: of the formula.
        factor: is given key and shape, and returns what the values are multiplied by.
    """
    weights = {}
    for key, shape in of.items():
        if key.endswith("num_batches_tracked"):
            weights[key] = torch.zeros(shape, dtype=torch.long)
        elif renamed(key, layout) is None:
            weights[key] = torch.zeros(1).expand(shape)
        else:
            x = formula(key, shape, salt) * factor(key, shape)
            weights[key] = torch.from_numpy(np.asarray(x, dtype=np.float32))
    return weights


class Training:
    """Steps of a shipped configuration's own objects from converted weights; what is asked by the released names.

    Args:
        config: file of the configuration.
        layout: of the weights.
        weights: as `filled` returns them.
        size: height and width of the images.
        overrides: of the configuration, besides classes and size.
        iters_per_epoch: of the schedule.
        dtype: of the network.
    """

    def __init__(
        self,
        config: str,
        layout: str,
        weights: Mapping[str, Tensor],
        size: tuple[int, int],
        overrides: Sequence[str] = (),
        iters_per_epoch: int = 1000,
        dtype: torch.dtype = torch.float64,
    ) -> None:
        classes = len(weights[LAYOUTS[layout].classifier])
        sizes = ["INPUT.SIZE_TRAIN", str(list(size)), "INPUT.SIZE_TEST", str(list(size))]
        found = convert(layout, weights, [*sizes, *overrides])
        assert not found.missing
        self.used = found.used
        cfg = get_cfg()
        cfg.merge_from_file(config_path(config))
        cfg.merge_from_list(
            [
                *("MODEL.BACKBONE.PRETRAIN", "False", "MODEL.DEVICE", "cpu", "MODEL.HEADS.NUM_CLASSES", str(classes)),
                *sizes,
                *overrides,
            ]
        )
        self.model = build_model(cfg)
        self.model.load_state_dict(found.weights)
        self.model.to(dtype).train()
        self.optimizer = build_optimizer(cfg, self.model)
        self.schedule = build_lr_scheduler(cfg, self.optimizer, iters_per_epoch)["lr_sched"]
        self.parameters = dict(self.model.named_parameters())
        self.start = {name: value.detach().clone() for name, value in self.model.state_dict().items()}

    def step(self, batch: dict[str, Any]) -> dict[str, float]:
        """Take a step and return the losses, weighted, by their printed names; gradients stay."""
        losses = TrainingStep(self.model, self.optimizer)(iter([batch])).losses
        self.schedule.step()
        return {name.removeprefix("loss_"): value.item() for name, value in losses.items()}

    def rate(self, key: str) -> float:
        """The rate that the next step has for a parameter."""
        wanted = self.parameters[self.used[key]]
        return next(g["lr"] for g in self.optimizer.param_groups if any(p is wanted for p in g["params"]))

    def gradient(self, key: str) -> float:
        """Norm of the gradient of the last step; NaN where there is none."""
        parameter = self.parameters.get(self.used.get(key, ""))
        return np.nan if parameter is None or parameter.grad is None else parameter.grad.norm().item()

    def norms(self, key: str) -> tuple[float, float, float]:
        """Norms of a used weight at the start and now, and of its change."""
        now, before = self.model.state_dict()[self.used[key]].double(), self.start[self.used[key]].double()
        return before.norm().item(), now.norm().item(), (now - before).norm().item()
