"""Runs a trained model over a test set."""

from dataclasses import dataclass
from functools import cached_property
from typing import Any

from fastreid.config import CfgNode
from fastreid.evaluation import inference_on_dataset

from vireid_plugins.data import loader_of_test_set
from vireid_plugins.data.batch import INFRARED, VISIBLE
from vireid_plugins.data.datasets import CrossModalityDataset
from vireid_plugins.engine.train import load_model
from vireid_plugins.evaluation.evaluator import FeatureCollector
from vireid_plugins.evaluation.feature_table import FeatureTable, ImagesByModality
from vireid_plugins.evaluation.plan import EvaluationPlan, plan_test, require_test_sets
from vireid_plugins.evaluation.types import Floats
from vireid_plugins.extraction import network_for


@dataclass(frozen=True)
class Extraction:
    """A test set and the features of its images.

    Attributes:
        plan: of the test set.
        features: (n, D).
        paths: n paths relative to the set's folder.
        metric: what ranks the gallery, a key of `METRICS`.
    """

    plan: EvaluationPlan
    features: Floats
    paths: list[str]
    metric: str = "cosine"

    @property
    def dataset(self) -> CrossModalityDataset:
        """The test set."""
        return self.plan.dataset

    @property
    def images(self) -> ImagesByModality:
        """The images by modality."""
        return self.plan.images

    @cached_property
    def table(self) -> FeatureTable:
        """The features by modality."""
        return FeatureTable(self.images, self.features, self.paths)

    @cached_property
    def matrices(self) -> dict[int, Floats]:
        """L2-normalized features of each modality, in the order of `images`."""
        return {modality: self.table.of(modality) for modality in (VISIBLE, INFRARED)}


def extract(cfg: CfgNode, model: Any = None) -> Extraction:
    """Return the features of the first test set.

    Args:
        cfg: the configuration.
        model: a trained method; by default that of `load_model`.

    Raises:
        ConfigError: there is no checkpoint, or no test set.
        DataError: the checkpoint or the data set cannot be read.
    """
    name = require_test_sets(cfg)[0]
    network = network_for(cfg, load_model(cfg) if model is None else model)
    plan = plan_test(cfg, name)
    collector = FeatureCollector(plan.dataset)
    inference_on_dataset(network, loader_of_test_set(cfg, plan.dataset), collector, flip_test=cfg.TEST.FLIP.ENABLED)
    gathered = collector.gathered()
    assert gathered is not None
    return Extraction(plan, *gathered, cfg.TEST.METRIC)
