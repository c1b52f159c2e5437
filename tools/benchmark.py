"""The old name of tools/benchmarks/speed.py."""

from _moved import moved

moved(__file__)
