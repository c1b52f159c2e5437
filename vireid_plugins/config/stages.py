"""A run of several trainings, one after another: each starts from the weights of the one before."""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from fastreid.config import CfgNode

from vireid_plugins.config.check import check_config
from vireid_plugins.config.keys import Key, declare_table
from vireid_plugins.errors import ConfigError, require_name

# The checkpoint that a stage leaves for the next, by the value of USL.NEXT_FROM.
LEFT = {"final": "model_final.pth", "best": "model_best.pth"}
# Of a stage before the last, in the folder of the run.
_FOLDER = "stage{}"

declare_table(
    Key(
        "USL.STAGES",
        [],
        "Trainings that a run has, one after another, each a list of keys and values that it changes: [[KEY, value, "
        "KEY, value], []]. Each has a new optimizer and schedule and starts from the weights of the one before. The "
        "last is in OUTPUT_DIR, those before in its folders stage1, stage2, ... Empty: one training.",
    ),
    Key(
        "USL.NEXT_FROM",
        "final",
        'Weights that a stage starts from: "final", the last epoch of the one before, or "best", its best epoch, which '
        "is chosen on the test set unless validation identities choose it (ADCA, PGM).",
    ),
)


def stages_of(cfg: CfgNode) -> list[CfgNode]:
    """Return the configuration of every training of a run; one unless `USL.STAGES` has more.

    Args:
        cfg: the configuration of the run, which stays as it is.

    Raises:
        ConfigError: a stage has a wrong key or value.
    """
    require_name("USL.NEXT_FROM", cfg.USL.NEXT_FROM, LEFT)
    if not cfg.USL.STAGES:
        return [cfg]
    if cfg.USL.NEXT_FROM == "best" and not cfg.DATASETS.TESTS:
        raise ConfigError("USL.NEXT_FROM: best needs a test set (DATASETS.TESTS) to choose an epoch on; use final")
    folder, weights = Path(cfg.OUTPUT_DIR), cfg.MODEL.WEIGHTS
    stages: list[CfgNode] = []
    for number, words in enumerate(cfg.USL.STAGES, start=1):
        last = number == len(cfg.USL.STAGES)
        stage = _changed(cfg, number, words)
        stage.OUTPUT_DIR = str(folder if last else folder / _FOLDER.format(number))
        stage.MODEL.WEIGHTS = weights
        if not last:
            stage.TEST.EXPECTED_RESULTS = []
            weights = str(folder / _FOLDER.format(number) / LEFT[cfg.USL.NEXT_FROM])
        check_config(stage)
        stages.append(stage)
    return stages


def earlier_stage(folder: Path) -> int:
    """Return the number, from 1 on, of the stage whose folder this is by its name; 0: it is none before the last."""
    found = re.fullmatch(_FOLDER.format("([1-9][0-9]*)"), folder.name)
    return int(found[1]) if found else 0


def _changed(cfg: CfgNode, number: int, words: Any) -> CfgNode:
    """Return the configuration of a stage."""
    right = isinstance(words, Sequence) and not isinstance(words, str) and len(words) % 2 == 0
    if not right or not all(isinstance(key, str) for key in words[::2]):
        raise ConfigError(
            f"USL.STAGES: each stage is a list of keys and values, such as [USL.ASSOCIATE.NAME, CMA]; stage {number} "
            f"is {words!r}"
        )
    taken = [key for key in words[::2] if key in ("OUTPUT_DIR", "MODEL.WEIGHTS") or key.startswith("USL.STAGES")]
    if taken:
        raise ConfigError(f"USL.STAGES: stage {number} sets {taken[0]}, which follows from the stages")
    if "USL.NEXT_FROM" in words[::2]:
        raise ConfigError(f"USL.STAGES: stage {number} sets USL.NEXT_FROM, which is one for the run; set it outside")
    stage: Any = cfg.clone()
    stage.defrost()
    stage.merge_words(list(words), f"USL.STAGES, stage {number}")
    stage.USL.STAGES = []
    changed: CfgNode = stage
    return changed
