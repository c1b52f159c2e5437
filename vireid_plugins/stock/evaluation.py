"""Patches of fast-reid's evaluation."""

import importlib
import warnings
from collections.abc import Callable
from typing import Any

import faiss
import numpy as np
import torch
from fastreid.engine import hooks
from fastreid.evaluation import ReidEvaluator
from fastreid.utils import compute_dist
from torch import Tensor

from vireid_plugins.compat.registry import Replacement, register_patch
from vireid_plugins.errors import ConfigError


def _no_compilation(self: ReidEvaluator) -> None:
    """Do nothing: fast-reid falls back to its Python code for ranking."""


@register_patch(
    "the first evaluation runs make inside site-packages, and exits if Cython is missing",
    "nothing is compiled; ranking uses fast-reid's slower Python loops (vireid_plugins.evaluation is fast)",
    where="`fastreid/evaluation/reid_evaluation.py:35`.",
)
def cython() -> list[Replacement]:
    """Return the replacements."""
    return [Replacement(ReidEvaluator, "_compile_dependencies", _no_compilation)]


def _with_long_galleries(evaluate: Callable[..., Any]) -> Callable[..., Any]:
    """Wrap a ranking function: pad the gallery with unknown identities at infinite distance, which changes no score."""

    def evaluated(
        distance: Any, query: Any, gallery: Any, query_cams: Any, cams: Any, max_rank: int, *rest: Any
    ) -> Any:
        padding_ids = np.full(max_rank, min(query.min(), gallery.min()) - 1, dtype=gallery.dtype)
        far = np.full((len(distance), max_rank), np.inf, dtype=distance.dtype)
        return evaluate(
            np.concatenate([distance, far], axis=1),
            query,
            np.concatenate([gallery, padding_ids]),
            query_cams,
            np.concatenate([cams, np.zeros(max_rank, dtype=cams.dtype)]),
            max_rank,
            *rest,
        )

    return evaluated


@register_patch(
    "scoring fails if fewer than 50 gallery images remain for a query",
    "pads rankings with images of unknown identities at infinite distance",
    where="`fastreid/evaluation/rank.py:142`.",
)
def rank() -> list[Replacement]:
    """Return the replacements."""
    with warnings.catch_warnings():
        # It recommends Cython on import.
        warnings.simplefilter("ignore")
        ranking = importlib.import_module("fastreid.evaluation.rank")
    names = [name for name in ("evaluate_py", "evaluate_cy") if hasattr(ranking, name)]
    return [Replacement(ranking, name, _with_long_galleries(getattr(ranking, name))) for name in names]


def _on_cpu(jaccard: Callable[..., Any]) -> Callable[..., Any]:
    def distance(features: Tensor, k1: int = 20, k2: int = 6, search_option: int = 0, fp16: bool = False) -> Any:
        on_gpu = torch.cuda.is_available() and hasattr(faiss, "StandardGpuResources")
        return jaccard(features, k1, k2, search_option if on_gpu else 3, fp16)

    return distance


@register_patch(
    "TEST.RERANK needs CUDA and faiss-gpu, which is not on PyPI",
    "without them, faiss searches on the CPU (fast-reid's search option 3)",
    where="`fastreid/utils/compute_dist.py:51,68`.",
)
def rerank() -> list[Replacement]:
    """Return the replacements."""
    function = compute_dist.compute_jaccard_distance
    return [Replacement(compute_dist, "compute_jaccard_distance", _on_cpu(function))]


def _with_a_period(init: Callable[..., None]) -> Callable[..., None]:
    def checked(self: Any, eval_period: int, eval_function: Any) -> None:
        if eval_period < 1:
            raise ConfigError(
                f"TEST.EVAL_PERIOD: must be at least 1, got {eval_period}; set it to SOLVER.MAX_EPOCH to evaluate only "
                "at the end"
            )
        init(self, eval_period, eval_function)

    return checked


@register_patch(
    "TEST.EVAL_PERIOD 0 divides by zero at the end of training",
    "raises an error before training starts",
    where="`fastreid/engine/hooks.py:382`.",
)
def eval_period() -> list[Replacement]:
    """Return the replacements."""
    return [Replacement(hooks.EvalHook, "__init__", _with_a_period(hooks.EvalHook.__init__))]
