"""Folders as trainings leave them, without training: a configuration, scores, AP of the queries, metrics."""

import functools
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from vireid_plugins.config import load_config
from vireid_plugins.evaluation.query_scores import QueryScores, write_query_scores

SYSU = "sysu/official/all/1shot"


@functools.cache
def dumped(config: str, overrides: tuple[str, ...]) -> str:
    return str(load_config(config, overrides).dump())


def write_run(
    folder: Path,
    ap: Any,
    *overrides: str,
    seed: int = 0,
    split: int | None = None,
    config: str = "SYSU/one_stream.yml",
    protocol: str = SYSU,
    paths: Sequence[str] | None = None,
    **more: Any,
) -> Path:
    """Write a run whose queries have this AP (T, Q), two queries an identity."""
    folder.mkdir(parents=True)
    table = np.atleast_2d(np.asarray(ap, np.float32))
    words = (*overrides, "OUTPUT_DIR", "x", *(() if split is None else ("DATASETS.REGDB.SPLIT", str(split))))
    text = (
        dumped(config, words).replace("\nSEED: -1\n", f"\nSEED: {seed}\n").replace("\nSEED: 0\n", f"\nSEED: {seed}\n")
    )
    (folder / "config.yaml").write_text(text)
    names = [f"q{number}" for number in range(table.shape[1])] if paths is None else list(paths)
    scores = QueryScores(np.array(names), np.arange(table.shape[1]) // 2, table)
    write_query_scores(folder / "evaluation_queries.npz", {protocol: scores})
    mean = {"Rank-1": 50.0 + seed, "mAP": 100 * float(np.nanmean(table)), "mINP": 10.0}
    result = {"protocol": protocol, "refinement": "", "metric": "cosine", "split": split, "mean": mean, "trials": 1}
    (folder / "evaluation.json").write_text(json.dumps({"results": [result | more]}))
    lines = [{"iteration": step, "total_loss": 3 / (step + 1), "mAP": 10.0 * step} for step in range(5)]
    (folder / "metrics.json").write_text("".join(json.dumps(line) + "\n" for line in lines))
    return folder
