"""Trains and averages RegDB's ten splits: what a number of RegDB is."""

import argparse
import copy
import json
import logging
import multiprocessing
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

from vireid_plugins.config import load_config
from vireid_plugins.engine.checkpoint import load_checkpoint
from vireid_plugins.engine.hooks.stop_on_signal import forwarded_signals
from vireid_plugins.engine.train import main
from vireid_plugins.errors import ConfigError
from vireid_plugins.evaluation.regdb_average import merge_splits

logger = logging.getLogger("fastreid." + __name__)


def train_splits(args: argparse.Namespace, splits: Sequence[int]) -> dict[str, Any]:
    """Train the splits one after the other and return the mean of their last epochs.

    A split whose training has ended is not trained again, one that was interrupted is resumed, so that the same command
    can be given until it is done. Every split is trained in a process and a folder of its own,
    `<OUTPUT_DIR>/split_<n>`; `<OUTPUT_DIR>/splits.json` gets what is returned.

    Args:
        args: as of `vireid train`.
        splits: which of 1 to 10.

    Raises:
        ConfigError: the configuration does not train and test RegDB, or sets the split itself.
    """
    cfg = load_config(args.config_file, args.opts)
    if tuple(cfg.DATASETS.NAMES) != ("RegDB",) or tuple(cfg.DATASETS.TESTS) != ("RegDB",):
        raise ConfigError(
            f"DATASETS.NAMES and TESTS must be RegDB alone to train its splits; {args.config_file} says "
            f"{list(cfg.DATASETS.NAMES)} and {list(cfg.DATASETS.TESTS)}"
        )
    if "DATASETS.REGDB.SPLIT" in args.opts:
        raise ConfigError("DATASETS.REGDB.SPLIT: the splits are trained one after the other; choose some with --splits")
    folder = Path(cfg.OUTPUT_DIR)
    for split in splits:
        home = folder / f"split_{split}"
        if _finished(home, cfg.SOLVER.MAX_EPOCH):
            continue
        own = copy.deepcopy(args)
        own.resume = (home / "last_checkpoint").is_file()
        own.opts = [*args.opts, "DATASETS.REGDB.SPLIT", str(split), "OUTPUT_DIR", str(home)]
        with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool, forwarded_signals():
            pool.submit(main, own).result()
    merged = merge_splits([folder / f"split_{split}" / "evaluation.json" for split in splits])
    (folder / "splits.json").write_text(json.dumps(merged, indent=1), encoding="utf-8")
    return merged


def _finished(home: Path, epochs: int) -> bool:
    """Tell whether a training went through all its epochs; the final checkpoint is written after the last scores."""
    final = home / "model_final.pth"
    if not final.is_file() or not (home / "evaluation.json").is_file():
        return False
    trained: int = load_checkpoint(final)["epoch"] + 1
    return trained >= epochs
