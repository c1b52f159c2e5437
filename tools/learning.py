"""The old name of tools/benchmarks/learning.py."""

from _moved import moved

moved(__file__)
