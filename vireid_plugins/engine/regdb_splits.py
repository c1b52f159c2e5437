"""Train all ten RegDB splits and average their scores, as RegDB results are reported."""

import multiprocessing
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path
from typing import Any

from vireid_plugins.config import load_config
from vireid_plugins.engine.finished_run import finished
from vireid_plugins.engine.hooks.stop_on_signal import forwarded_signals
from vireid_plugins.engine.requirements import require_data
from vireid_plugins.engine.train import Run, main
from vireid_plugins.errors import ConfigError, LaunchError
from vireid_plugins.evaluation.regdb_average import merge_splits
from vireid_plugins.io.files import write_json, write_or_keep
from vireid_plugins.processes import begin_own, ending_with_this


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
        DataError: a list or an image of one of the splits is missing or malformed; nothing has been trained.
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
    left = [split for split in splits if not finished(folder / f"split_{split}", cfg.SOLVER.MAX_EPOCH)]
    own = {
        split: (*overrides, "DATASETS.REGDB.SPLIT", str(split), "OUTPUT_DIR", str(folder / f"split_{split}"))
        for split in left
    }
    # A list of a later split that is missing is found now, and not after the trainings before it.
    require_data(load_config(config_file, words) for words in own.values())
    for split, words in own.items():
        run = Run(config_file, words, resume=any((folder / f"split_{split}").rglob("*.pth")))
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
            with ending_with_this():
                future = pool.submit(function, argument)
            future.result()
    except BrokenProcessPool:
        raise LaunchError(f"{what} was killed; the same command continues it") from None
