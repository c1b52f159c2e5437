"""The old name of tools/benchmarks/tables.py."""

from _moved import moved

moved(__file__)
