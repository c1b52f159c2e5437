"""Curves of two sides of runs."""

from pathlib import Path

import pytest

from vireid_plugins.errors import DataError
from vireid_plugins.experiments.curves import draw_curves


def test_draw_curves_of_metrics_without_any_that_is_shown_lists_those(tmp_path: Path) -> None:
    (tmp_path / "metrics.json").write_text('{"iteration": 1, "lr": 0.1}\n')
    with pytest.raises(DataError, match=r"metrics\.json have none of total_loss, .*mAP.*; nothing can be drawn"):
        draw_curves([("A", [tmp_path]), ("B", [tmp_path])])
