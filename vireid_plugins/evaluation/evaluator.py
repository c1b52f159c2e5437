"""fast-reid's evaluator interface over our protocols."""

import json
import logging
from collections import OrderedDict
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from fastreid.config import CfgNode
from fastreid.evaluation import DatasetEvaluator
from fastreid.utils import comm
from torch import Tensor

from vireid_plugins.data.datasets import SYSUMM01
from vireid_plugins.evaluation.evaluate import score
from vireid_plugins.evaluation.protocols import protocols_of
from vireid_plugins.evaluation.report import ProtocolResult, result_table

logger = logging.getLogger("fastreid." + __name__)


class FeatureCollector(DatasetEvaluator):
    """Collects the features of a test set from all processes.

    Args:
        dataset: the test set.
    """

    def __init__(self, dataset: SYSUMM01) -> None:
        self.dataset = dataset
        self.reset()

    def reset(self) -> None:
        """Forget all features."""
        self.features: list[Any] = []
        self.paths: list[str] = []

    def process(self, inputs: Mapping[str, Any], outputs: Tensor) -> None:
        """Keep a batch's features (B, D) on the host."""
        self.features.append(outputs.detach().float().cpu().numpy())
        self.paths += [str(Path(path).relative_to(self.dataset.folder)) for path in inputs["img_paths"]]

    def gathered(self) -> tuple[Any, list[str]] | None:
        """Return features (n, D) and relative paths of all processes on the main one, None on the others."""
        local = (np.concatenate(self.features), self.paths)
        everyone = comm.gather(local) if comm.get_world_size() > 1 else [local]
        if not comm.is_main_process():
            return None
        return np.concatenate([features for features, _ in everyone]), [p for _, paths in everyone for p in paths]


class CrossModalityEvaluator(FeatureCollector):
    """Collects features once and scores them under every protocol of `TEST.PROTOCOLS`.

    `evaluate` logs a table, writes `evaluation.json` to the output folder, and returns the first protocol's scores with
    `metric`, the mean of rank-1 and mAP as in fast-reid. With `TEST.COMPARE_RANDOM` the table also has the scores of
    random features, the floor under every number.

    Args:
        cfg: the configuration.
        dataset: the test set.
        output_dir: where `evaluation.json` goes; empty is nowhere.
    """

    def __init__(self, cfg: CfgNode, dataset: SYSUMM01, output_dir: str = "") -> None:
        super().__init__(dataset)
        self.protocols = protocols_of(type(dataset).__name__, cfg.TEST.PROTOCOLS)
        self.flip = bool(cfg.TEST.FLIP.ENABLED)
        self.compare_random = bool(cfg.TEST.COMPARE_RANDOM)
        self.output_dir = output_dir

    def evaluate(self) -> "OrderedDict[str, float]":
        """Score everything processed since `reset`; empty on processes other than the main one."""
        gathered = self.gathered()
        if gathered is None:
            return OrderedDict()
        features, paths = gathered
        results = [score(features, paths, protocol, self.dataset) for protocol in self.protocols]
        chance = self._random(paths) if self.compare_random else []
        notes = ["model"] * len(results) + ["random"] * len(chance) if chance else []
        logger.info(
            "%s, cosine distance, no re-ranking, flip %s, mean ± standard deviation over trials in percent:\n%s",
            type(self.dataset).__name__,
            "on" if self.flip else "off",
            result_table([*results, *chance], notes),
        )
        if self.output_dir:
            self._write(results, chance)
        first = OrderedDict(results[0].means)
        first["metric"] = (first["Rank-1"] + first["mAP"]) / 2
        return first

    def _random(self, paths: list[str]) -> list[ProtocolResult]:
        features = np.random.default_rng(0).standard_normal((len(paths), 64))
        return [score(features, paths, protocol, self.dataset) for protocol in self.protocols]

    def _write(self, results: list[ProtocolResult], chance: list[ProtocolResult]) -> None:
        settings = {"distance": "cosine", "rerank": False, "flip": self.flip}
        report = {"settings": settings, "results": [result.as_json() for result in results]}
        if chance:
            report["random_features"] = [result.as_json() for result in chance]
        (Path(self.output_dir) / "evaluation.json").write_text(json.dumps(report, indent=1), encoding="utf-8")
