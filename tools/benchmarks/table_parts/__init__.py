"""The tables of README.md and the docs that are made from data: results, protocols, benchmarks."""
