"""Flags and arguments of commands that are wrong."""

from pathlib import Path

import pytest
from desk import TRAIN, Case, check

CASES = {
    "no process": Case(
        TRAIN + "--num-gpus 0",
        "--num-gpus 0 --num-machines 1 --machine-rank 0: the first two must be at least 1",
    ),
    "no such machine": Case(
        TRAIN + "--num-machines 2 --machine-rank 2",
        "the last must be the machine's number, counted from 0",
    ),
    "no address": Case(
        TRAIN + "--num-machines 2",
        "--dist-url: several machines need the address of the first",
    ),
    "unknown flag": Case(
        "tools/train_net.py --configfile sysu.yml",
        "unrecognized arguments: --configfile",
        code=2,
    ),
    "unknown set": Case(
        "tools/verify_data.py SYSU data",
        "invalid choice: 'SYSU'",
        code=2,
    ),
    "splits twice": Case(
        "tools/train_regdb_splits.py --config-file regdb.yml --splits 1,1",
        "must be different numbers from 1 to 10, separated by commas; got '1,1'",
        code=2,
    ),
    "splits of another set": Case(
        "tools/train_regdb_splits.py --config-file sysu.yml",
        "DATASETS.NAMES and TESTS must be RegDB alone to train its splits",
    ),
    "picture of no format": Case(
        "tools/visualize.py rank --config-file sysu.yml --output x.txt",
        "--output: 'x.txt'",
    ),
    "figure as wide as a wall": Case(
        "tools/visualize.py rank --config-file sysu.yml --output x.pdf --width 800",
        "--width: must be from 2 to 120, got 800",
    ),
    "font that nobody has": Case(
        "tools/visualize.py cmc --config-file sysu.yml --output x.pdf --font Nosuch",
        "--font: 'Nosuch' is not installed; available: ",
    ),
    "nobody in a tree": Case(
        "tools/make_synthetic.py RegDB --identities 0",
        "must be at least 1, got 0",
        code=2,
    ),
    "benchmark on CUDA": Case(
        "tools/benchmarks/speed.py losses --device cuda",
        "--device: torch finds no CUDA device for 'cuda'",
    ),
}


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_command_line_with_a_mistake_ends_in_one_message(case: Case, desk: Path) -> None:
    check(case, desk)
