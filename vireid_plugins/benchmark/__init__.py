"""Measurements that back every claim of speed and memory. Run by `tools/benchmark.py`, never by a test's clock."""

from vireid_plugins.benchmark import endurance, extraction, loading, losses, scaling, scoring, searching, training
from vireid_plugins.benchmark.measure import Measured, Subject, environment, measure, table

# By what is measured.
SUBJECTS: dict[str, list[Subject]] = {
    "scoring": scoring.SUBJECTS,
    "loading": loading.SUBJECTS,
    "training": training.SUBJECTS,
    "losses": losses.SUBJECTS,
    "extraction": extraction.SUBJECTS,
    "scaling": scaling.SUBJECTS,
    "searching": searching.SUBJECTS,
    "endurance": endurance.SUBJECTS,
}
__all__ = ["SUBJECTS", "Measured", "Subject", "environment", "measure", "table"]
