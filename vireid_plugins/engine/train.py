"""Train, resume or score a configured run; the implementation of `vireid train`."""

import argparse
import dataclasses
import gc
import logging
import sys
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from fastreid.config import CfgNode
from fastreid.utils import comm

from vireid_plugins.collect_env import described
from vireid_plugins.collector import collector_paused
from vireid_plugins.config import load_config
from vireid_plugins.engine.checkpoint import VireidCheckpointer, load_checkpoint
from vireid_plugins.engine.checkpoint_content import classes_of
from vireid_plugins.engine.closing import closing
from vireid_plugins.engine.finished_run import finished
from vireid_plugins.engine.output_folder import CONFIG, claim
from vireid_plugins.engine.provenance import check_resumed, network_facts, splits_of
from vireid_plugins.engine.run_files import FINAL, last_weights
from vireid_plugins.engine.run_log import begin_log, close_log, open_log, require_log
from vireid_plugins.engine.runs import scored_config
from vireid_plugins.engine.scored_weights import weights_of
from vireid_plugins.engine.screen import ALWAYS
from vireid_plugins.engine.seed import seeded
from vireid_plugins.engine.stages import checked_stages, left_behind
from vireid_plugins.engine.trainer import Trainer
from vireid_plugins.errors import ConfigError
from vireid_plugins.escape import FILE_ONLY, Lines
from vireid_plugins.evaluation.expected_results import verify_results
from vireid_plugins.evaluation.scores import Scores
from vireid_plugins.evaluation.screen_table import screen_table
from vireid_plugins.io.files import make_folder, write_bytes

logger = logging.getLogger("fastreid." + __name__)


@dataclasses.dataclass(frozen=True)
class Run:
    """The options of a run, as given on the command line.

    Attributes:
        config_file: see `load_config`.
        overrides: see `load_config`.
        trained: the run to score, see `scored_config`; empty to use only the configuration.
        on: see `scored_config`.
        resume: resume from the last checkpoint of the output folder, if there is one.
        eval_only: score without training.
        quiet: show only warnings and the final table on the screen.
        num_gpus: number of processes on this machine; `launch` reads this and the following options.
        num_machines: number of machines.
        machine_rank: number of this machine, from 0.
        dist_url: address at which machines meet.
    """

    config_file: str
    overrides: Sequence[str] = ()
    trained: str = ""
    on: Sequence[str] = ()
    resume: bool = False
    eval_only: bool = False
    quiet: bool = False
    num_gpus: int = 1
    num_machines: int = 1
    machine_rank: int = 0
    dist_url: str = ""

    @classmethod
    def from_arguments(cls, args: argparse.Namespace) -> "Run":
        """Return the options in arguments of fast-reid's `default_argument_parser`, and others by their names here."""
        names = {field.name for field in dataclasses.fields(cls)} & set(vars(args))
        return cls(overrides=tuple(args.opts), **{name: getattr(args, name) for name in names})

    def load(self) -> CfgNode:
        """Return the checked configuration, read once.

        Raises:
            ConfigError: a key, value or name is wrong, or there is no run to score.
            DataError: the checkpoint of the run to score cannot be read.
        """
        cfg: CfgNode = self._config.clone()
        return cfg

    @cached_property
    def _config(self) -> CfgNode:
        if self.trained:
            return scored_config(self.trained, self.overrides, self.config_file, self.on)
        return load_config(self.config_file, self.overrides)

    def __getstate__(self) -> dict[str, Any]:
        """Return the options: another process reads the configuration itself."""
        return {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}


def setup(run: Run) -> CfgNode:
    """Load the configuration, open the log in the output folder and seed every random generator.

    Returns:
        the configuration, with a drawn seed if `SEED` was negative.

    Raises:
        ConfigError: a key, value or name is wrong.
    """
    cfg = seeded(run.load(), run.resume)
    make_folder(Path(cfg.OUTPUT_DIR), "OUTPUT_DIR")
    log = open_log(Path(cfg.OUTPUT_DIR), run.quiet)
    log.info("Environment:\n%s", Lines(described()), extra=FILE_ONLY)
    log.info("Command line: %s", " ".join(sys.argv), extra=FILE_ONLY)
    log.info("Full configuration:\n%s", Lines(cfg), extra=FILE_ONLY)
    log.info("Environment and full configuration: %s", Path(cfg.OUTPUT_DIR) / "log.txt")
    log.info("Seed %d", cfg.SEED)
    # Again: what was logged may have drawn.
    seeded(cfg)
    if not run.eval_only:
        torch.backends.cudnn.benchmark = cfg.CUDNN_BENCHMARK
    return cfg


def main(run: Run) -> Any:
    """Train, resume or only score, and return the scores of the first protocol.

    Raises:
        ExpectationError: the scores differ from `TEST.EXPECTED_RESULTS`.
    """
    try:
        cfg = setup(run)
        scores = evaluate(cfg) if run.eval_only else train(cfg, run.resume)
        if run.quiet:
            show_final(scores)
        verify_results(cfg, scores)
        require_log()
    finally:
        close_log()
    return scores


def train(cfg: CfgNode, resume: bool) -> Any:
    """Train, in stages if `USL.STAGES` has several, and return the scores of the last epoch.

    Args:
        cfg: the configuration.
        resume: resume from the last checkpoint of the output folder, if there is one. A finished run stays as it is,
            unless its scores are to be compared (`TEST.EXPECTED_RESULTS`).

    Returns:
        the scores; None if the run was finished before.

    Raises:
        ConfigError: the output folder is in use, or contains a run that would be overwritten.
        DataError: see `Trainer` and `Trainer.resume_or_load`.
        StoppedError: a signal stopped the run; it is saved.
    """
    folder = Path(cfg.OUTPUT_DIR)
    stages = checked_stages(cfg)
    *earlier, last = stages
    # Claimed before the trainer is built, which takes a while; `Trainer.train` also claims it for other callers.
    with claim(folder, resume):
        for number, stage in enumerate(earlier, start=1):
            if resume and left_behind(stages, number - 1):
                logger.info("Stage %d of %d is over, since a later one has been saved", number, len(stages))
                continue
            logger.info("Stage %d of %d, in %s", number, len(earlier) + 1, stage.OUTPUT_DIR)
            _train_stage(stage, resume, last=False)
            # Its trainer and its network refer to each other.
            gc.collect()
        if earlier:
            logger.info("Stage %d of %d, from %s", len(earlier) + 1, len(earlier) + 1, last.MODEL.WEIGHTS)
        return _train_stage(last, resume)


def _train_stage(cfg: CfgNode, resume: bool, last: bool = True) -> Any:
    """Train once and return the scores of the last epoch; None if that was finished before.

    Args:
        cfg: the configuration.
        resume: see `train`.
        last: whether nothing comes after it, so that what was written is said.
    """
    folder = Path(cfg.OUTPUT_DIR)
    with claim(folder, resume):
        scored = bool(cfg.DATASETS.TESTS)
        if resume and not cfg.TEST.EXPECTED_RESULTS and finished(folder, cfg.SOLVER.MAX_EPOCH, scored):
            _require_same(cfg, folder)
            if last:
                _say_finished(cfg, folder)
            return None
        # What a command imported is forgotten before; here the lists and the network are as well.
        with collector_paused(forget=gc.get_freeze_count() > 0):
            trainer = Trainer(cfg)
        trainer.resume_or_load(resume=resume)
        begin_log()
        config = folder / CONFIG
        # A finished run is only scored: what it was trained with stays.
        if comm.is_main_process() and (trainer.start_epoch < trainer.max_epoch or not config.is_file()):
            write_bytes(config, trainer.checkpointer.facts["config"].encode())
        scores = trainer.train()
        if comm.is_main_process() and last:
            logger.info("%s", Lines(closing(folder, trainer.checkpointer.chosen_on, trainer.best(), scored=scored)))
        return scores


def _require_same(cfg: CfgNode, folder: Path) -> None:
    """Raise a `DataError` unless the finished run in a folder is one of this configuration."""
    final = folder / f"{FINAL}.pth"
    facts = load_checkpoint(final).get("vireid", {})
    if not cfg.MODEL.HEADS.NUM_CLASSES:
        # Known once the data is read.
        cfg = cfg.clone()
        cfg.defrost()
        cfg.MODEL.HEADS.NUM_CLASSES = facts.get("num_classes", 0)
    check_resumed(str(final), facts, {**facts, "config": cfg.dump(), "datasets": list(cfg.DATASETS.NAMES)})


def _say_finished(cfg: CfgNode, folder: Path) -> None:
    """Say that a run is finished, and what is in its folder."""
    begin_log()
    if not comm.is_main_process():
        return
    facts = load_checkpoint(folder / f"{FINAL}.pth").get("vireid", {})
    chosen_on, scored = str(facts.get("chosen_on", "the test set")), bool(cfg.DATASETS.TESTS)
    done = "trained and scored" if scored else "trained"
    begin = f"The run was finished before: all {cfg.SOLVER.MAX_EPOCH} epochs are {done}."
    logger.info("%s", Lines(closing(folder, chosen_on, begin=begin, scored=scored)))


def show_final(scores: Any) -> None:
    """Show the table of every test set on a quiet screen.

    Args:
        scores: of one test set, or by data set.
    """
    for one in [scores] if isinstance(scores, Scores) else (scores or {}).values():
        if isinstance(one, Scores) and one:
            table = screen_table(one.results)
            logger.info(
                "%s",
                Lines(table),
                extra={**ALWAYS, "on_screen": f"mean ± standard deviation over trials in percent:\n{table}"},
            )


def evaluate(cfg: CfgNode) -> Any:
    """Score `MODEL.WEIGHTS`, or the last checkpoint of the output folder."""
    file = checkpoint_of(cfg)
    model = load_model(cfg)
    begin_log()
    folder = Path(cfg.OUTPUT_DIR)
    scores = Trainer.test(cfg, model, weights=weights_of(file, folder))
    # A folder of results alone; that of a training keeps what it was trained with.
    if comm.is_main_process() and not any(folder.glob("*.pth")):
        write_bytes(folder / CONFIG, cfg.dump().encode())
    return scores


def checkpoint_of(cfg: CfgNode) -> Path:
    """Return `MODEL.WEIGHTS`, or the last checkpoint of the output folder: the final weights if it is finished.

    Raises:
        ConfigError: there is no checkpoint.
        DataError: `last_checkpoint` in the output folder does not name one.
    """
    if cfg.MODEL.WEIGHTS:
        return Path(cfg.MODEL.WEIGHTS)
    last = last_weights(Path(cfg.OUTPUT_DIR))
    if last is None:
        raise ConfigError(f"MODEL.WEIGHTS: set a checkpoint; the output folder '{cfg.OUTPUT_DIR}' contains none")
    return last


def load_model(cfg: CfgNode) -> Any:
    """Build the model, fill it from the checkpoint that `checkpoint_of` returns, and return it.

    A checkpoint with averaged weights stands for these, whatever `SOLVER.EMA_DECAY` is now, unless
    `MODEL.WEIGHTS_AVERAGED` is False.

    Raises:
        ConfigError: there is no checkpoint.
        DataError: the checkpoint cannot be read, was trained on another split, or does not fill the model.
    """
    file = checkpoint_of(cfg)
    checkpoint = load_checkpoint(file)
    facts = checkpoint.get("vireid", {})
    cfg = cfg.clone()
    cfg.defrost()
    cfg.MODEL.BACKBONE.PRETRAIN = False
    cfg.MODEL.HEADS.NUM_CLASSES = classes_of(file, checkpoint, cfg.MODEL.HEADS.NUM_CLASSES)
    if cfg.MODEL.STREAMS.MAX_POOL == "auto" and facts.get("max_pool") in ("torchvision", "fastreid"):
        # What it was trained with, wherever the pretrained weights are now.
        cfg.MODEL.STREAMS.MAX_POOL = facts["max_pool"]
    model = Trainer.build_model(cfg)
    checkpointer = VireidCheckpointer(
        model,
        facts=network_facts(cfg),
        splits=splits_of(cfg, cfg.DATASETS.TESTS),
        average=cfg.MODEL.WEIGHTS_AVERAGED,
        partial=cfg.MODEL.WEIGHTS_PARTIAL,
    )
    checkpointer.fill(file, checkpoint)
    return model
