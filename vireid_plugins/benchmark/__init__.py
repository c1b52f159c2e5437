"""Measurements that back every claim of speed and memory. Run by `tools/benchmark.py`, never by a test's clock."""

from vireid_plugins.benchmark.measure import Measured, Subject, environment, measure, table
from vireid_plugins.benchmark.subjects import subjects

__all__ = ["Measured", "Subject", "environment", "measure", "subjects", "table"]
