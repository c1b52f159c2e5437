"""Helpers of many tests: small configurations, a hand-made batch, commands in separate processes, a time limit."""

import atexit
import functools
import os
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import narrow  # noqa: F401  makes the depth 18x small
import pytest
import torch
import torch.nn.functional as F
from commands import Commands

import vireid_plugins  # noqa: F401  makes fastreid importable
from vireid_plugins.config import CfgNode, config_path, get_cfg
from vireid_plugins.unsupervised.state import EpochState

ROOT = Path(__file__).resolve().parent.parent
# Seconds after which something hangs, for every wait of the suite. A slow machine multiplies it.
HANG = 600 * float(os.environ.get("VIREID_TEST_PATIENCE", "1"))
# Of older releases' exporters some fail, with one message.
needs_exporter = pytest.mark.skipif(
    tuple(map(int, torch.__version__.split(".")[:2])) < (2, 13), reason="the export is promised from torch 2.13 on"
)


def often(names: Iterable[str], *chosen: str) -> list[Any]:
    """Return the values of a parameter, of which those that are not chosen are slow tests."""
    values = list(names)
    assert {*chosen} <= {*values}
    return [pytest.param(name, marks=[] if name in chosen else pytest.mark.slow) for name in values]


# The depth 18x is that of `narrow`.
SMALL = [
    "MODEL.BACKBONE.DEPTH", "18x", "MODEL.BACKBONE.PRETRAIN", "False", "MODEL.DEVICE", "cpu",
    "INPUT.SIZE_TRAIN", "[64, 32]", "INPUT.SIZE_TEST", "[64, 32]", "DATALOADER.NUM_WORKERS", "0",
    "DATALOADER.NUM_INSTANCE", "2", "SOLVER.IMS_PER_BATCH", "16", "SOLVER.WARMUP_ITERS", "0", "SOLVER.MAX_EPOCH", "1",
    "SOLVER.CHECKPOINT_PERIOD", "1", "TEST.EVAL_PERIOD", "1", "SOLVER.AMP.ENABLED", "False", "CUDNN_BENCHMARK", "False",
]  # fmt: skip
# What ResNet-18 and 64 x 32 images ask of some methods besides.
_NON_LOCAL = ["MODEL.ATTENTION.STAGE2", "['NonLocal@1']", "MODEL.ATTENTION.STAGE3", "['NonLocal@0', 'NonLocal@1']"]
# What a fresh process builds as quickly, which does not know `narrow`.
SMALL_FRESH = [*SMALL, "MODEL.STREAMS.BACKBONE", "build_osnet_backbone", "MODEL.BACKBONE.DEPTH", "x0_25"]
# Of the 16 images of a batch, and few of them; and clusters in few images.
_APART = [
    *("DATALOADER.APART.IDENTITIES", "[3, 5]", "DATALOADER.APART.STEPS", "4"),
    *("USL.CLUSTER.K1", "6", "USL.CLUSTER.K2", "2", "USL.CLUSTER.MIN_SAMPLES", "1", "USL.CLUSTER.EPS", "[0.4, 0.4]"),
]
SMALL_METHODS = {
    "adca": _APART,
    "pgm": [*_NON_LOCAL, *_APART],
    "agw": _NON_LOCAL,
    "caj": _NON_LOCAL,
    "mscm": [*_NON_LOCAL, "MODEL.MSCM.HEAD_DIM", "4", "MODEL.MSCM.TOKENS", "16"],
    "icre": ["MODEL.ICRE.DIM", "32"],
    "pmt": ["MODEL.BACKBONE.DEPTH", "tiny", "MODEL.VIT.BLOCKS", "2"],
    "osnet_miim_circle": ["MODEL.BACKBONE.DEPTH", "x1_0"],
    "resnest_wrim": ["MODEL.BACKBONE.DEPTH", "50x"],
    "regnet_nonlocal_cosface": ["MODEL.BACKBONE.DEPTH", "800y"],
    "mobilenet_arc_icg": ["MODEL.BACKBONE.DEPTH", "1.0x"],
}
# Every backbone that can be cut, with a small network of its family.
DEPTHS = {
    "build_resnet_backbone": "18x",
    "build_resnext_backbone": "50x",
    "build_resnest_backbone": "50x",
    "build_osnet_backbone": "x0_25",
    "build_regnet_backbone": "200x",
    "build_effnet_backbone": "b0",
    "build_mobilenetv2_backbone": "0.1x",
    "build_shufflenetv2_backbone": "0.5x",
    "build_repvgg_backbone": "A0",
    "build_vit_backbone": "tiny",
}
CONFIGS = sorted(
    str(file.relative_to(ROOT / "configs")) for file in (ROOT / "configs").glob("*/*.yml") if "_base_" not in str(file)
)


def small_cfg(name: str = "SYSU/wrim.yml", *overrides: str) -> CfgNode:
    """The shipped config `name`, shrunk."""
    cfg = get_cfg()
    cfg.merge_from_file(config_path(name))
    method = Path(name).stem.removesuffix("_released").removesuffix("_stage1")
    cfg.merge_from_list([*SMALL, *SMALL_METHODS.get(method, []), *overrides])
    return cfg


# Configs of methods that learn from clusters: they need an epoch of them, and a sampler of their own.
UNLABELED = ("adca", "adca_stage1", "pgm", "pgm_stage1")


def begin_clusters(model: Any, clusters: int = 6) -> None:
    """Give a network that learns from clusters an epoch of so many in each modality, associated in order.

    Nothing happens to others.
    """
    if hasattr(model, "begin_epoch"):
        generator = torch.Generator().manual_seed(0)
        shape = clusters, model.backbone.channels["stage4"]
        memories = {name: F.normalize(torch.randn(shape, generator=generator)) for name in ("visible", "infrared")}
        association = {name: torch.arange(clusters) for name in ("r2i", "i2r")}
        model.begin_epoch(EpochState(memories=memories, association=association))


def views_of(cfg: CfgNode) -> tuple[int, int]:
    """How many views a visible and an infrared image has."""
    return len(cfg.INPUT.VIEWS.VISIBLE), len(cfg.INPUT.VIEWS.INFRARED)


def batch(
    identities: int = 4,
    instances: int = 2,
    size: tuple[int, int] = (64, 32),
    views: tuple[int, int] = (1, 1),
    seed: int = 0,
) -> dict[str, Any]:
    """A training batch in block order with random pixels."""
    generator = torch.Generator().manual_seed(seed)
    rows = identities * instances
    blocks = [(modality, view) for modality in (0, 1) for view in range(views[modality])]
    return {
        "images": torch.randint(0, 256, (rows * len(blocks), 3, *size), dtype=torch.uint8, generator=generator),
        "targets": torch.arange(identities).repeat_interleave(instances).repeat(len(blocks)),
        "camids": torch.ones(rows * len(blocks), dtype=torch.long),
        "modalities": torch.tensor([m for m, _ in blocks]).repeat_interleave(rows),
        "views": torch.tensor([v for _, v in blocks]).repeat_interleave(rows),
        "img_paths": [f"{i}.jpg" for i in range(rows * len(blocks))],
    }  # fmt: skip


# What a forked process cannot do as a fresh one does: find other packages, spawn processes of its own, use threads.
FRESH = ("--num-gpus", "--num-machines", "tools/train_regdb_splits.py")
FRESH += ("tools/benchmarks/speed.py", "tools/benchmarks/learning.py")

# Scripts of tools/ that are a verb of `vireid`.
SCRIPTS = {
    "tools/train_net.py": "train",
    "tools/train_regdb_splits.py": "splits",
    "tools/evaluate_features.py": "score",
    "tools/search.py": "search",
    "tools/visualize.py": "visualize",
    "tools/report.py": "report",
    "tools/export_onnx.py": "export",
    "tools/convert_checkpoint.py": "convert",
    "tools/list_plugins.py": "plugins",
    "tools/make_synthetic.py": "synthesize",
    "tools/verify_data.py": "verify",
}


@functools.cache
def commands() -> Commands:
    """What forks scripts for this process of the suite."""
    started = Commands()
    atexit.register(started.close)
    return started


def python(*args: str, cwd: Path = ROOT, **env: str) -> subprocess.CompletedProcess[str]:
    """Run this interpreter in a process of its own; scripts in one that has imported the package already."""
    fresh = not args[0].endswith(".py") or {"PYTHONPATH", "OMP_NUM_THREADS"} & set(env) or set(FRESH) & set(args)
    if not fresh:
        ran = commands().run(list(args), cwd, env)
        return subprocess.CompletedProcess([*args], ran.code, ran.out, ran.err)
    environment = {**os.environ, "OMP_NUM_THREADS": "1", **env}
    return subprocess.run(
        [sys.executable, *args], cwd=cwd, env=environment, capture_output=True, text=True, timeout=HANG
    )


def vireid(*words: str, cwd: Path = ROOT, **env: str) -> subprocess.CompletedProcess[str]:
    """Run the command `vireid` in a process that has imported the package already."""
    ran = commands().run(["vireid", *words], cwd, env)
    return subprocess.CompletedProcess(["vireid", *words], ran.code, ran.out, ran.err)
