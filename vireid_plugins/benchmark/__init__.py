"""Measurements that back every claim of speed and memory. Run by `tools/benchmark.py`, never by a test's clock."""

from vireid_plugins.benchmark.measure import Measured, Subject, environment, measure, table
from vireid_plugins.benchmark.scoring import SUBJECTS

__all__ = ["SUBJECTS", "Measured", "Subject", "environment", "measure", "table"]
