"""Parts of `tools/benchmarks/parity.py`: public code and this package side by side, each in its own process."""
