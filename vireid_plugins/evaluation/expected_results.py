"""Scores as a regression test: `TEST.EXPECTED_RESULTS`, after detectron2's key of that name."""

import logging
import math
from collections.abc import Mapping
from typing import Any

from fastreid.config import CfgNode

from vireid_plugins.errors import ExpectationError, require_name

logger = logging.getLogger("fastreid." + __name__)


def verify_results(cfg: CfgNode, scores: Mapping[str, Any] | None) -> None:
    """Compare scores with `TEST.EXPECTED_RESULTS`.

    Args:
        cfg: the configuration.
        scores: scores of the first protocol in percent, by data set if there are several test sets; empty on processes
            other than the main one.

    Raises:
        ExpectationError: a score differs from its value by more than its tolerance; the message lists all rows.
        ConfigError: a row names an unknown score.
    """
    if not cfg.TEST.EXPECTED_RESULTS or not scores:
        return
    lines, missed = [], 0
    for name, score, value, tolerance in cfg.TEST.EXPECTED_RESULTS:
        of_dataset = scores if len(cfg.DATASETS.TESTS) == 1 else scores[name]
        require_name("TEST.EXPECTED_RESULTS", score, of_dataset)
        holds = math.isfinite(of_dataset[score]) and abs(of_dataset[score] - value) <= tolerance
        missed += not holds
        lines.append(f"{name} {score} is {of_dataset[score]:.2f}, expected {value:g} ± {tolerance:g}")
    if missed:
        raise ExpectationError(f"TEST.EXPECTED_RESULTS: {missed} of {len(lines)} missed: " + "; ".join(lines))
    logger.info("Scores are as expected: %s", "; ".join(lines))
