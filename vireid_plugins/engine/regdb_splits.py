"""Train all ten RegDB splits and average their scores, as RegDB results are reported."""

import logging
import multiprocessing
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path
from typing import Any

from vireid_plugins.config import load_config
from vireid_plugins.engine.checkpoint import load_checkpoint
from vireid_plugins.engine.checkpoint_content import require_position
from vireid_plugins.engine.hooks.stop_on_signal import forwarded_signals
from vireid_plugins.engine.train import Run, main
from vireid_plugins.errors import ConfigError, DataError, LaunchError
from vireid_plugins.evaluation.regdb_average import merge_splits
from vireid_plugins.io.files import write_json, write_or_keep
from vireid_plugins.processes import begin_own

logger = logging.getLogger("fastreid." + __name__)


def train_splits(config_file: str, overrides: Sequence[str], splits: Sequence[int]) -> dict[str, Any]:
    """Train the splits one after the other and return the mean scores of their last epochs.

    Finished splits are skipped and interrupted ones resumed, so the same command can be repeated until all are done.
    Each split is trained in its own process and folder, `<OUTPUT_DIR>/split_<n>`. The result is also written to
    `<OUTPUT_DIR>/splits.json`.

    Args:
        config_file: see `load_config`.
        overrides: see `load_config`.
        splits: splits to train, 1 to 10.

    Raises:
        ConfigError: the configuration does not train and test on RegDB alone, or sets the split.
        LaunchError: a training was killed.
    """
    cfg = load_config(config_file, overrides)
    if tuple(cfg.DATASETS.NAMES) != ("RegDB",) or tuple(cfg.DATASETS.TESTS) != ("RegDB",):
        raise ConfigError(
            f"DATASETS.NAMES and TESTS must be RegDB alone to train its splits; {config_file} has "
            f"{list(cfg.DATASETS.NAMES)} and {list(cfg.DATASETS.TESTS)}"
        )
    if "DATASETS.REGDB.SPLIT" in overrides:
        raise ConfigError("DATASETS.REGDB.SPLIT: the splits are trained one after the other; choose some with --splits")
    folder = Path(cfg.OUTPUT_DIR)
    for split in splits:
        split_folder = folder / f"split_{split}"
        if _finished(split_folder, cfg.SOLVER.MAX_EPOCH):
            continue
        keys = ("DATASETS.REGDB.SPLIT", str(split), "OUTPUT_DIR", str(split_folder))
        run = Run(config_file, (*overrides, *keys), resume=(split_folder / "last_checkpoint").is_file())
        with forwarded_signals():
            _in_own_process(main, run, f"the training of split {split}")
    merged = merge_splits([folder / f"split_{split}" / "evaluation.json" for split in splits])
    write_or_keep(folder / "splits.json", lambda file: write_json(file, merged))
    return merged


def _in_own_process(function: Callable[[Any], object], argument: object, what: str) -> None:
    """Call a function in a process that ends with this one."""
    spawn = multiprocessing.get_context("spawn")
    try:
        with ProcessPoolExecutor(1, mp_context=spawn, initializer=begin_own) as pool:
            pool.submit(function, argument).result()
    except BrokenProcessPool:
        raise LaunchError(f"{what} was killed; the same command continues it") from None


def _finished(folder: Path, epochs: int) -> bool:
    """Return whether a training has completed all epochs; the final checkpoint is written after the last scores.

    A final checkpoint that cannot be read is no end: the training is resumed, from an earlier one if there is one.
    """
    final = folder / "model_final.pth"
    if not final.is_file() or not (folder / "evaluation.json").is_file():
        return False
    try:
        checkpoint = load_checkpoint(final)
        require_position(final, checkpoint)
    except DataError as error:
        logger.warning("%s", error)
        return False
    return int(checkpoint["epoch"]) + 1 >= epochs
