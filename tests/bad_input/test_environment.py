"""Folders that cannot be written and addresses where nobody is."""

import socket
from pathlib import Path

import pytest
from desk import FINAL, TRAIN, Case, check

CASES = {
    "folder below a file": Case(
        TRAIN + "OUTPUT_DIR sysu.yml/out",
        "OUTPUT_DIR: 'sysu.yml/out' cannot be written: Not a directory; choose a writable folder",
    ),
    "folder that is a file": Case(
        TRAIN + "OUTPUT_DIR sysu.yml",
        "OUTPUT_DIR: 'sysu.yml' cannot be written: ",
    ),
    "read-only file system": Case(
        TRAIN + "OUTPUT_DIR /proc/out",
        "OUTPUT_DIR: '/proc/out' cannot be written: ",
    ),
    "scores below a file": Case(
        (
            "tools/evaluate_features.py --features f.npz --data-root data --protocol regdb/v2i --split 1 "
            "--json sysu.yml/x.json"
        ),
        "cannot be written",
    ),
    "picture below a file": Case(
        "tools/visualize.py training --config-file sysu.yml --output sysu.yml/x.png OUTPUT_DIR trained",
        "cannot be written",
    ),
    "report below a file": Case(
        "tools/report.py --config-file sysu.yml --output sysu.yml/x.html OUTPUT_DIR trained",
        "'sysu.yml/x.html' cannot be written: ",
    ),
    "export below a file": Case(
        "tools/export_onnx.py --config-file sysu.yml --output sysu.yml/x OUTPUT_DIR trained",
        "the export: 'sysu.yml/x' cannot be written: Not a directory",
    ),
    "index below a file": Case(
        f"tools/search.py index night --index sysu.yml/x --config-file sysu.yml --weights {FINAL}",
        "'sysu.yml/x' cannot be written: Not a directory",
    ),
    "address of nobody": Case(
        TRAIN + "--num-machines 2 --machine-rank 0 --dist-url 127.0.0.1",
        "--dist-url: ",
    ),
}


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_environment_that_is_wrong_ends_in_one_message(case: Case, desk: Path) -> None:
    check(case, desk)


def test_train_net_at_a_port_that_is_taken_ends_in_one_message(desk: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        url = f"tcp://127.0.0.1:{taken.getsockname()[1]}"
        check(
            Case(
                f"{TRAIN}--num-machines 2 --machine-rank 0 --dist-url {url}",
                f"--dist-url: the processes cannot connect at '{url}'",
            ),
            desk,
        )
