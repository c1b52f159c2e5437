"""fast-reid's evaluator interface for the protocols of this package."""

import logging
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from fastreid.config import CfgNode
from fastreid.evaluation import DatasetEvaluator
from fastreid.utils import comm
from torch import Tensor

from vireid_plugins.data.datasets import CrossModalityDataset
from vireid_plugins.escape import Lines
from vireid_plugins.evaluation.choices import METRICS
from vireid_plugins.evaluation.evaluate import score
from vireid_plugins.evaluation.features import save_features
from vireid_plugins.evaluation.plan import EvaluationPlan
from vireid_plugins.evaluation.postprocess import PostProcessing
from vireid_plugins.evaluation.provenance import UNKNOWN, ScoredWeights, provenance, write_evaluation
from vireid_plugins.evaluation.query_scores import queries_file, write_query_scores
from vireid_plugins.evaluation.results import ProtocolResult, result_table
from vireid_plugins.evaluation.scores import Scores
from vireid_plugins.evaluation.screen_table import screen_table
from vireid_plugins.io.files import make_folder, write_or_keep

logger = logging.getLogger("fastreid." + __name__)


class FeatureCollector(DatasetEvaluator):
    """Collects the features of a test set from all processes.

    Args:
        dataset: the test set.
    """

    def __init__(self, dataset: CrossModalityDataset) -> None:
        self.dataset = dataset
        self.reset()

    def reset(self) -> None:
        """Forget all features."""
        self.features: list[Any] = []
        self.paths: list[str] = []

    def process(self, inputs: Mapping[str, Any], outputs: Tensor) -> None:
        """Keep a batch's features (B, D) on the host."""
        self.features.append(outputs.detach().float().cpu().numpy())
        self.paths += [Path(path).relative_to(self.dataset.folder).as_posix() for path in inputs["img_paths"]]

    def gathered(self) -> tuple[Any, list[str]] | None:
        """Return the features (n, D) and relative paths of all processes on the main one, None on the others."""
        # On a small test set some processes may have no images.
        collected = comm.gather((self.features, self.paths))
        if not comm.is_main_process():
            return None
        features = np.concatenate([batch for batches, _ in collected for batch in batches])
        return features, [path for _, paths in collected for path in paths]


class CrossModalityEvaluator(FeatureCollector):
    """Collects features once and scores them under every protocol of a plan.

    `evaluate` logs a table, writes `evaluation.json` to the output folder (`evaluation_<data set>.json` if there are
    several test sets) with the AP of every query in `evaluation_queries.npz`, and returns the first protocol's scores
    with `metric`, the mean of rank-1 and mAP as in fast-reid. With `TEST.COMPARE_RANDOM` the table also has the scores
    of random features.

    Args:
        cfg: the configuration.
        plan: the plan of the test set; see `plan_test`.
        output_dir: folder for `evaluation.json`; empty: do not write it.
        weights: what is scored, for `evaluation.json`.

    Attributes:
        form: returns how the features were computed, for `evaluation.json`; see `TEST.EXTRACTION`.
    """

    def __init__(
        self, cfg: CfgNode, plan: EvaluationPlan, output_dir: str = "", weights: ScoredWeights = UNKNOWN
    ) -> None:
        super().__init__(plan.dataset)
        self.plan = plan
        self.postprocessing = PostProcessing.from_config(cfg)
        self.form: Callable[[], str] = lambda: "exact"
        self.metric = cfg.TEST.METRIC
        self.device = cfg.MODEL.DEVICE
        self.flip = bool(cfg.TEST.FLIP.ENABLED)
        self.compare_random = bool(cfg.TEST.COMPARE_RANDOM)
        self.save_features = bool(cfg.TEST.SAVE_FEATURES)
        self.output_dir = output_dir
        self.weights, self.method = weights, cfg.MODEL.META_ARCHITECTURE
        # Results of several test sets must not overwrite each other.
        self.suffix = f"_{type(self.dataset).__name__}" if len(cfg.DATASETS.TESTS) > 1 else ""

    def evaluate(self) -> Scores:
        """Score the features processed since `reset`; return no scores on processes other than the main one."""
        gathered = self.gathered()
        if gathered is None:
            return Scores()
        features, paths = gathered
        results = score(features, paths, self.plan, self.postprocessing, self.device, self.metric)
        baseline = self._score_random() if self.compare_random else []
        notes = ["model"] * len(results) + ["random"] * len(baseline) if baseline else []
        how = self.postprocessing if self.postprocessing else "no re-ranking"
        title = (
            f"{self.dataset.title}, {METRICS[self.metric]}, {how}, flip {'on' if self.flip else 'off'}, "
            "mean ± standard deviation over trials in percent:"
        )
        rows = [*results, *baseline]
        logger.info(
            *("%s\n%s", title, Lines(result_table(rows, notes))),
            extra={"on_screen": f"{title}\n{screen_table(rows, notes)}"},
        )
        if self.output_dir:
            self._write(results, baseline)
        if self.output_dir and self.save_features:
            write_or_keep(
                Path(self.output_dir) / f"features_{type(self.dataset).__name__}.npz",
                lambda file: save_features(file, features, paths, self.dataset.split),
            )
        return Scores(results)

    def _score_random(self) -> list[ProtocolResult]:
        # Drawn for every image of the test set: what an image gets does not depend on the protocols.
        every = [self.dataset.relative(item) for item in (*self.dataset.query, *self.dataset.gallery)]
        features = np.random.default_rng(0).standard_normal((len(every), 64))
        return score(features, every, self.plan, device=self.device)

    def _write(self, results: list[ProtocolResult], baseline: list[ProtocolResult]) -> None:
        settings = {"distance": self.metric, "refinement": str(self.postprocessing), "flip": self.flip}
        source = provenance(self.method, type(self.dataset).__name__, self.dataset.split, self.weights, self.form())
        report = {"provenance": source, "settings": settings, "results": [result.as_json() for result in results]}
        if baseline:
            report["random_features"] = [result.as_json() for result in baseline]
        make_folder(Path(self.output_dir), "OUTPUT_DIR")
        file = Path(self.output_dir) / f"evaluation{self.suffix}.json"
        queries = {result.protocol.name: result.queries for result in results if result.queries is not None}
        # First: whoever finds the scores finds these too.
        write_query_scores(queries_file(file), queries)
        write_evaluation(file, report)
