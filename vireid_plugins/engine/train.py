"""Train, resume or score a configured run; the implementation of `vireid train`."""

import argparse
import logging
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from fastreid.config import CfgNode
from fastreid.utils import comm
from fastreid.utils.collect_env import collect_env_info
from fastreid.utils.logger import setup_logger

from vireid_plugins.config import load_config
from vireid_plugins.engine.checkpoint import VireidCheckpointer, load_checkpoint
from vireid_plugins.engine.output_folder import claim
from vireid_plugins.engine.provenance import splits_of
from vireid_plugins.engine.seed import seeded
from vireid_plugins.engine.trainer import Trainer
from vireid_plugins.errors import ConfigError
from vireid_plugins.escape import Lines, escape_logs
from vireid_plugins.evaluation.expected_results import verify_results
from vireid_plugins.io.files import make_folder, write_atomic


@dataclass(frozen=True)
class Run:
    """The options of a run, as given on the command line.

    Attributes:
        config_file: see `load_config`.
        overrides: see `load_config`.
        resume: resume from the last checkpoint of the output folder, if there is one.
        eval_only: score without training.
        num_gpus: number of processes on this machine; `launch` reads this and the following options.
        num_machines: number of machines.
        machine_rank: number of this machine, from 0.
        dist_url: address at which machines meet.
    """

    config_file: str
    overrides: Sequence[str] = ()
    resume: bool = False
    eval_only: bool = False
    num_gpus: int = 1
    num_machines: int = 1
    machine_rank: int = 0
    dist_url: str = ""

    @classmethod
    def from_arguments(cls, args: argparse.Namespace) -> "Run":
        """Return the options in arguments of fast-reid's `default_argument_parser`."""
        names = ("resume", "eval_only", "num_gpus", "num_machines", "machine_rank", "dist_url")
        return cls(args.config_file, tuple(args.opts), **{name: getattr(args, name) for name in names})


def setup(run: Run) -> CfgNode:
    """Load the configuration, open the log in the output folder and seed every random generator.

    Returns:
        the configuration, with a drawn seed if `SEED` was negative.

    Raises:
        ConfigError: a key, value or name is wrong.
    """
    cfg = seeded(load_config(run.config_file, run.overrides), run.resume)
    make_folder(Path(cfg.OUTPUT_DIR), "OUTPUT_DIR")
    log = setup_logger(cfg.OUTPUT_DIR, distributed_rank=comm.get_rank())
    escape_logs()
    with quiet_console(log):
        log.info("Environment:\n%s", Lines(collect_env_info()))
        log.info("Command line: %s", " ".join(sys.argv))
        log.info("Full configuration:\n%s", Lines(cfg))
    log.info("Environment and full configuration: %s", Path(cfg.OUTPUT_DIR) / "log.txt")
    log.info("Seed %d", cfg.SEED)
    # Again: what was logged may have drawn.
    seeded(cfg)
    if not run.eval_only:
        torch.backends.cudnn.benchmark = cfg.CUDNN_BENCHMARK
    return cfg


@contextmanager
def quiet_console(log: logging.Logger) -> Iterator[None]:
    """Show only warnings on the console inside a `with` block; log files still get everything."""
    consoles = [handler for handler in log.handlers if getattr(handler, "stream", None) is sys.stdout]
    levels = [handler.level for handler in consoles]
    for handler in consoles:
        handler.setLevel(logging.WARNING)
    try:
        yield
    finally:
        for handler, level in zip(consoles, levels, strict=True):
            handler.setLevel(level)


def main(run: Run) -> Any:
    """Train, resume or only score, and return the scores of the first protocol.

    Raises:
        ExpectationError: the scores differ from `TEST.EXPECTED_RESULTS`.
    """
    cfg = setup(run)
    scores = evaluate(cfg) if run.eval_only else train(cfg, run.resume)
    verify_results(cfg, scores)
    return scores


def train(cfg: CfgNode, resume: bool) -> Any:
    """Train and return the scores of the last epoch.

    Args:
        cfg: the configuration.
        resume: resume from the last checkpoint of the output folder, if there is one.

    Raises:
        ConfigError: the output folder is in use, or contains a run that would be overwritten.
        StoppedError: a signal stopped the run; it is saved.
    """
    folder = Path(cfg.OUTPUT_DIR)
    # Claimed before the trainer is built, which takes a while; `Trainer.train` also claims it for other callers.
    with claim(folder, resume):
        trainer = Trainer(cfg)
        trainer.resume_or_load(resume=resume)
        if comm.is_main_process():
            with write_atomic(folder / "config.yaml") as stream:
                stream.write(trainer.cfg.dump().encode())
        return trainer.train()


def evaluate(cfg: CfgNode) -> Any:
    """Score `MODEL.WEIGHTS`, or the last checkpoint of the output folder."""
    return Trainer.test(cfg, load_model(cfg))


def checkpoint_of(cfg: CfgNode) -> Path:
    """Return `MODEL.WEIGHTS`, or the last checkpoint of the output folder.

    Raises:
        ConfigError: there is no checkpoint.
    """
    if cfg.MODEL.WEIGHTS:
        return Path(cfg.MODEL.WEIGHTS)
    tag = Path(cfg.OUTPUT_DIR) / "last_checkpoint"
    if not tag.is_file():
        raise ConfigError(f"MODEL.WEIGHTS: set a checkpoint; the output folder '{cfg.OUTPUT_DIR}' contains none")
    return tag.parent / tag.read_text().strip()


def load_model(cfg: CfgNode) -> Any:
    """Build the model, fill it from the checkpoint that `checkpoint_of` returns, and return it.

    Raises:
        ConfigError: there is no checkpoint.
        DataError: the checkpoint cannot be read, was trained on another split, or does not fill the model.
    """
    file = checkpoint_of(cfg)
    facts = load_checkpoint(file).get("vireid", {})
    cfg = cfg.clone()
    cfg.defrost()
    cfg.MODEL.BACKBONE.PRETRAIN = False
    cfg.MODEL.HEADS.NUM_CLASSES = facts.get("num_classes", cfg.MODEL.HEADS.NUM_CLASSES)
    model = Trainer.build_model(cfg)
    splits = splits_of(cfg, cfg.DATASETS.TESTS)
    now = {"config": cfg.dump(), "meta_architecture": cfg.MODEL.META_ARCHITECTURE}
    options = {"average": cfg.SOLVER.EMA_DECAY > 0, "partial": cfg.MODEL.WEIGHTS_PARTIAL}
    VireidCheckpointer(model, facts=now, splits=splits, **options).load(str(file))
    return model
