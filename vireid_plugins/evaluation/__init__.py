"""Protocols, metrics and the evaluator."""

from vireid_plugins.evaluation.evaluate import evaluate_protocol
from vireid_plugins.evaluation.evaluator import CrossModalityEvaluator
from vireid_plugins.evaluation.features import load_features, save_features
from vireid_plugins.evaluation.metrics import Ranking, evaluate_ranking
from vireid_plugins.evaluation.plan import EvaluationPlan, plan_test
from vireid_plugins.evaluation.postprocess import PostProcessing
from vireid_plugins.evaluation.protocols import PROTOCOLS, Protocol, select_protocols
from vireid_plugins.evaluation.results import ProtocolResult, result_table

__all__ = [
    "PROTOCOLS",
    "CrossModalityEvaluator",
    "EvaluationPlan",
    "PostProcessing",
    "Protocol",
    "ProtocolResult",
    "Ranking",
    "evaluate_protocol",
    "evaluate_ranking",
    "load_features",
    "plan_test",
    "result_table",
    "save_features",
    "select_protocols",
]
