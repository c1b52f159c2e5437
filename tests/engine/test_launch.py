"""Several devices, as processes over gloo: gradients of one process, an evaluation without loss, an end for all."""

import json
import os
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import devices
import numpy as np
import pytest
import torch
from helpers import ROOT, SMALL, python, small_cfg
from torch.multiprocessing.spawn import ProcessRaisedException

from vireid_plugins.config.check import registered
from vireid_plugins.errors import ConfigError, LaunchError
from vireid_plugins.modeling.losses import LOSS_REGISTRY

GATHER = ["MODEL.LOSSES.GATHER", "True"]
METHODS = sorted(f"SYSU/{file.name}" for file in (ROOT / "configs" / "SYSU").glob("*.yml"))
COMMAND = [str(ROOT / "tools" / "train_net.py"), "--config-file", str(ROOT / "configs" / "SYSU" / "wrim.yml")]


def compare(cases: list[tuple[str, list[str]]], processes: int, folder: Path, frozen: bool) -> None:
    """Several processes with shares of a batch against one with the whole batch."""
    devices.on_devices(devices.steps, processes, cases=cases, folder=str(folder), frozen=frozen)
    for number, case in enumerate(cases):
        alone = devices.state_after_a_step(devices.network(case, frozen), [devices.whole_batch(case)])
        together = torch.load(folder / f"{number}.pt")
        assert set(together) == set(alone)
        for key, value in alone.items():
            # The gradient of a bias before a batch norm is zero but for rounding, which is not to be compared.
            scale = max(1e-5, float(value.abs().max()))
            torch.testing.assert_close(
                together[key] / scale,
                value / scale,
                rtol=0,
                atol=1e-9,
                msg=lambda text, c=case, k=key: f"{c} {k} {text}",
            )


def cases_of_all_losses() -> list[tuple[str, list[str]]]:
    cases = [(config, GATHER) for config in METHODS]
    used = {name for config, _ in cases for name in small_cfg(config).MODEL.LOSSES.NAME}
    for name in sorted(set(registered(LOSS_REGISTRY)) - used):
        cases.append(("SYSU/one_stream.yml", [*GATHER, "MODEL.LOSSES.NAME", f"['LabelSmoothCE', '{name}']"]))
    return cases


@pytest.mark.parametrize("processes", [2, 3])
def test_with_gather_the_gradient_is_one_process_s(processes: int, tmp_path: Path) -> None:
    """Every method and every loss over three processes, every third over two; batch norms frozen."""
    cases = cases_of_all_losses()
    compare(cases if processes == 3 else cases[::3], processes, tmp_path, frozen=True)


def test_synchronised_batch_norms_are_one_process_s(tmp_path: Path) -> None:
    compare([("SYSU/wrim.yml", GATHER), ("SYSU/mscm.yml", GATHER)], 3, tmp_path, frozen=False)


def test_without_gather_a_process_sees_its_own_identities(tmp_path: Path) -> None:
    case: tuple[str, list[str]] = ("SYSU/wrim.yml", [])
    devices.on_devices(devices.steps, 2, cases=[case], folder=str(tmp_path), frozen=True)
    together = torch.load(tmp_path / "0.pt")
    whole = devices.whole_batch(case)
    parts = [devices.share(whole, rank, 2) for rank in range(2)]
    for key, value in devices.state_after_a_step(devices.network(case, True), parts).items():
        torch.testing.assert_close(together[key], value, rtol=1e-5, atol=1e-6)
    alone = devices.state_after_a_step(devices.network(case, True), [whole])
    assert any(not torch.allclose(together[key], value, rtol=1e-3) for key, value in alone.items())


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (None, (LaunchError, "process 2 of 3 was killed by SIGKILL")),
        (ConfigError("SOME.KEY: is wrong"), (ConfigError, "SOME.KEY: is wrong")),
        (ValueError("a defect"), (ProcessRaisedException, "a defect")),
    ],
)
def test_a_process_that_dies_ends_the_others(error: Exception | None, expected: tuple[Any, str]) -> None:
    began = time.monotonic()
    with pytest.raises(expected[0], match=expected[1]):
        devices.on_devices(devices.die, 3, error=error)
    assert time.monotonic() - began < 60


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--num-gpus", "0"], "--num-gpus 0"),
        (["--num-gpus", "2", "--num-machines", "2"], "--dist-url: several machines need"),
        (["--num-gpus", "2", "--num-machines", "2", "--machine-rank", "2"], "--machine-rank 2"),
        (["--num-gpus", "3", *SMALL], "4 identities a batch do not divide over 3 processes"),
        (["--num-gpus", "2", "MODEL.DEVICE", "cuda"], "torch sees no CUDA device"),
    ],
)
@pytest.mark.usefixtures("data_root")
def test_wrong_numbers_are_one_error(arguments: list[str], message: str, tmp_path: Path) -> None:
    if "cuda" in arguments and torch.cuda.is_available():
        pytest.skip("there is CUDA")
    done = python(*COMMAND, *arguments, *([] if "MODEL.DEVICE" in arguments else ["MODEL.DEVICE", "cpu"]),
                  "OUTPUT_DIR", str(tmp_path / "out"))  # fmt: skip
    assert done.returncode == 1
    assert message in done.stderr
    assert any(line.startswith("error: ") for line in done.stderr.splitlines())
    assert not (tmp_path / "out" / "metrics.json").exists()


@pytest.mark.usefixtures("data_root")
def test_training_and_evaluation_over_processes(tmp_path: Path) -> None:
    """Two train and score; one and three score the same weights alike, the features in the same order."""
    overrides = [*SMALL, "TEST.SAVE_FEATURES", "True", "TEST.IMS_PER_BATCH", "10"]
    done = python(*COMMAND, "--num-gpus", "2", *overrides, "OUTPUT_DIR", str(tmp_path / "2"))
    assert done.returncode == 0, done.stderr
    lines = [json.loads(line) for line in (tmp_path / "2" / "metrics.json").read_text().splitlines()]
    assert any("total_loss" in line for line in lines)
    weights = ["MODEL.WEIGHTS", str(tmp_path / "2" / "model_final.pth")]
    for processes in ("1", "3"):
        score = ["--eval-only", "--num-gpus", processes, *overrides, *weights]
        done = python(*COMMAND, *score, "OUTPUT_DIR", str(tmp_path / processes))
        assert done.returncode == 0, done.stderr
    first, *others = (np.load(tmp_path / folder / "features_SYSUMM01.npz") for folder in "123")
    for other in others:
        assert other["paths"].tolist() == first["paths"].tolist()
        # The last batch of a process is another one, and rounds otherwise.
        np.testing.assert_allclose(other["features"], first["features"], rtol=1e-4, atol=1e-6)
    reports = [json.loads((tmp_path / folder / "evaluation.json").read_text()) for folder in "123"]
    for report in reports[1:]:
        for ours, theirs in zip(report["results"], reports[0]["results"], strict=True):
            assert ours["mean"]["Rank-1"] == pytest.approx(theirs["mean"]["Rank-1"], abs=0.5)


def test_torchrun(data_root: Path, tmp_path: Path) -> None:
    done = python(
        "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", *COMMAND, *SMALL,
        "SEED", "-1", "OUTPUT_DIR", str(tmp_path),
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "model_final.pth").is_file()
    seeds = [next(line for line in (tmp_path / name).read_text().splitlines() if "Seed " in line).split("Seed ")[1]
             for name in ("log.txt", "log.txt.rank1")]  # fmt: skip
    assert seeds[0] == seeds[1]


def test_two_machines(data_root: Path, tmp_path: Path) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        url = f"tcp://127.0.0.1:{free.getsockname()[1]}"
    machines = ["--num-machines", "2", "--dist-url", url, "--machine-rank"]
    children = [
        subprocess.Popen(
            [sys.executable, *COMMAND, *machines, str(rank), *SMALL, "OUTPUT_DIR", str(tmp_path / str(rank))],
            env={**os.environ, "OMP_NUM_THREADS": "1"},
        )
        for rank in range(2)
    ]
    assert [child.wait(timeout=300) for child in children] == [0, 0]
    assert (tmp_path / "0" / "model_final.pth").is_file()
    assert not (tmp_path / "1" / "model_final.pth").exists()
