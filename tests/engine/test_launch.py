"""Several devices, as processes over gloo: gradients of one process, an evaluation without loss, an end for all."""

import json
import multiprocessing
import socket
import sys
from argparse import Namespace
from pathlib import Path
from typing import Any

import devices
import numpy as np
import pytest
import torch
from apart import apart
from double import quick
from fastreid.utils import comm
from helpers import ROOT, SMALL_FRESH, UNLABELED, commands, python, small_cfg
from near import assert_near
from torch.nn.parallel import DistributedDataParallel

from vireid_plugins.config.check import registered
from vireid_plugins.engine import launch
from vireid_plugins.engine.launch import lost_another
from vireid_plugins.errors import ConfigError
from vireid_plugins.modeling.losses import LOSS_REGISTRY

Case = tuple[str, list[str]]
GATHER = ["MODEL.LOSSES.GATHER", "True"]
# Those without labels gather for themselves: test_cluster_contrast.
METHODS = sorted(
    f"SYSU/{file.name}" for file in (ROOT / "configs" / "SYSU").glob("*.yml") if file.stem not in UNLABELED
)
COMMAND = [str(ROOT / "tools" / "train_net.py"), "--config-file", str(ROOT / "configs" / "SYSU" / "wrim.yml")]
# As torchrun starts it without a checkout.
VERB = ["-m", "vireid_plugins", "train"]


def case_of_other_losses() -> Case:
    """A network with every loss that no method has; its gradient is their sum."""
    used = {name for config in METHODS for name in small_cfg(config).MODEL.LOSSES.NAME}
    others = sorted(set(registered(LOSS_REGISTRY)) - used - {"MemoryContrast"})
    assert others
    return "SYSU/one_stream.yml", [*GATHER, "MODEL.LOSSES.NAME", str(["LabelSmoothCE", *others])]


# A case, and whether its batch norms are frozen. Of the methods one of each kind of batch; the others are slow.
GATHERED: list[tuple[Case, bool]] = [
    (case_of_other_losses(), True),
    *((("SYSU/" + name + ".yml", GATHER), True) for name in ("icre", "idkl")),
    *((("SYSU/" + name + ".yml", GATHER), False) for name in ("mscm", "wrim")),
]
ALONE: tuple[Case, bool] = (("SYSU/wrim.yml", []), True)


@quick()
def after_one_process(case: Case, frozen: bool) -> dict[str, torch.Tensor]:
    return devices.state_after_a_step(devices.network(case, frozen), [devices.whole_batch(case)])


def compare(case: Case, frozen: bool, together: dict[str, torch.Tensor]) -> None:
    """Several processes with shares of a batch against one with the whole batch."""
    assert_near(together, after_one_process(case, frozen))


@pytest.fixture(scope="module")
def stepped(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What two processes have after a step of each of `GATHERED` and of `ALONE`, which is the last file."""
    folder = tmp_path_factory.mktemp("stepped")
    devices.on_forked_devices(devices.steps, 2, cases=[*GATHERED, ALONE], folder=str(folder))
    return folder


@pytest.mark.parametrize("number", range(len(GATHERED)), ids=["losses", "icre", "idkl", "mscm", "wrim"])
def test_launch_with_gather_gives_the_gradient_of_one_process(number: int, stepped: Path) -> None:
    """Frozen batch norms, and synchronized ones with MSCMNet and WRIM-Net."""
    compare(*GATHERED[number], torch.load(stepped / f"{number}.pt"))


@pytest.mark.slow
@pytest.mark.parametrize("processes", [2, 3])
def test_launch_with_gather_gives_the_gradient_of_one_process_for_every_method(processes: int, tmp_path: Path) -> None:
    cases = [((config, GATHER), True) for config in METHODS] + [(case_of_other_losses(), True)]
    devices.on_devices(devices.steps, processes, cases=cases, folder=str(tmp_path))
    for number, (case, frozen) in enumerate(cases):
        compare(case, frozen, torch.load(tmp_path / f"{number}.pt"))


@quick()
def test_launch_without_gather_gives_the_gradient_of_own_identities(stepped: Path) -> None:
    case, frozen = ALONE
    together = torch.load(stepped / f"{len(GATHERED)}.pt")
    whole = devices.whole_batch(case)
    parts = [devices.share(whole, rank, 2) for rank in range(2)]
    for key, value in devices.state_after_a_step(devices.network(case, frozen), parts).items():
        torch.testing.assert_close(together[key], value, rtol=1e-5, atol=1e-6)
    alone = after_one_process(case, frozen)
    assert any(not torch.allclose(together[key], value, rtol=1e-3) for key, value in alone.items())


ERRORS: dict[str, tuple[Exception | None, str]] = {
    "killed": (None, "LaunchError: process 1 of 2 was killed by SIGKILL"),
    "user-error": (ConfigError("SOME.KEY: is wrong"), "ConfigError: SOME.KEY: is wrong"),
    "defect": (ValueError("a defect"), "ValueError: a defect"),
}


def die_in_two(end: str) -> None:
    devices.on_devices(devices.die, 2, error=ERRORS[end][0])


@pytest.mark.parametrize("end", ERRORS)
def test_launch_ends_every_process_when_one_dies(end: str) -> None:
    ended = apart(die_in_two, end)
    assert ended.code == 1
    assert ERRORS[end][1] in ended.err
    # What a user has to mend is raised as itself, a defect with where it happened.
    assert ("ProcessRaisedException" in ended.err) == (end == "defect")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--num-gpus", "0"], "--num-gpus 0"),
        (["--num-gpus", "2", "--num-machines", "2"], "--dist-url: several machines need"),
        (["--num-gpus", "2", "--num-machines", "2", "--machine-rank", "2"], "--machine-rank 2"),
        (["--num-gpus", "2", "MODEL.DEVICE", "cuda"], "torch finds no CUDA device"),
    ],
    ids=["no-process", "no-address", "no-such-machine", "no-device"],
)
def test_launch_with_wrong_numbers_is_one_error(arguments: list[str], message: str, tmp_path: Path, tree: Path) -> None:
    if "cuda" in arguments and torch.cuda.is_available():
        pytest.skip("there is CUDA")
    device = [] if "MODEL.DEVICE" in arguments else ["MODEL.DEVICE", "cpu"]
    # They start no process, and so can be forked.
    words = [*COMMAND, *arguments, *device, "OUTPUT_DIR", str(tmp_path / "out")]
    done = commands().run(words, ROOT, {"FASTREID_DATASETS": str(tree)})
    assert done.code == 1
    assert message in done.err
    assert any(line.startswith("error: ") for line in done.err.splitlines())
    assert not (tmp_path / "out" / "metrics.json").exists()


@pytest.mark.usefixtures("little_root")
@pytest.mark.parametrize("scoring", [["1"], pytest.param(["1", "3"], marks=pytest.mark.slow)], ids=["one", "three"])
def test_torchrun_trains_and_scores_as_one_process_does(scoring: list[str], tmp_path: Path) -> None:
    """Two train and score; others score the same weights alike, the features in the same order."""
    overrides = [*SMALL_FRESH, "TEST.SAVE_FEATURES", "True", "TEST.IMS_PER_BATCH", "10", "SOLVER.BASE_LR", "1e-5"]
    done = python(
        "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", *VERB, *COMMAND[1:], *overrides,
        "SEED", "-1", "OUTPUT_DIR", str(tmp_path / "2"),
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    lines = [json.loads(line) for line in (tmp_path / "2" / "metrics.json").read_text().splitlines()]
    assert any("total_loss" in line for line in lines)
    seeds = [next(line for line in (tmp_path / "2" / name).read_text().splitlines() if "Seed " in line).split("Seed ")
             for name in ("log.txt", "log.txt.rank1")]  # fmt: skip
    assert seeds[0][1] == seeds[1][1]
    weights = ["MODEL.WEIGHTS", str(tmp_path / "2" / "model_final.pth")]
    for processes in scoring:
        score = ["--eval-only", *(["--num-gpus", processes] if processes != "1" else []), *overrides, *weights]
        done = python(*COMMAND, *score, "OUTPUT_DIR", str(tmp_path / processes))
        assert done.returncode == 0, done.stderr
    folders = ["2", *scoring]
    first, *others = (np.load(tmp_path / folder / "features_SYSUMM01.npz") for folder in folders)
    for other in others:
        assert other["paths"].tolist() == first["paths"].tolist()
        # The last batch of a process is another one, and rounds otherwise.
        np.testing.assert_allclose(other["features"], first["features"], rtol=1e-4, atol=1e-6)
    reports = [json.loads((tmp_path / folder / "evaluation.json").read_text()) for folder in folders]
    for report in reports[1:]:
        for ours, theirs in zip(report["results"], reports[0]["results"], strict=True):
            assert ours["mean"]["Rank-1"] == pytest.approx(theirs["mean"]["Rank-1"], abs=0.5)


def meet_on_two_machines(url: str, folder: str) -> None:
    arguments = {"num_gpus": 1, "num_machines": 2, "dist_url": url, "folder": folder}
    machines = [Namespace(machine_rank=rank, **arguments) for rank in range(2)]
    second = multiprocessing.get_context("fork").Process(target=launch, args=(devices.meet, machines[1], small_cfg()))
    second.start()
    launch(devices.meet, machines[0], small_cfg())
    second.join()
    assert second.exitcode == 0


def test_launch_on_two_machines_joins_their_processes(tmp_path: Path) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        url = f"tcp://127.0.0.1:{free.getsockname()[1]}"
    ended = apart(meet_on_two_machines, url, tmp_path)
    assert ended.code == 0, ended.err
    for rank in range(2):
        found = json.loads((tmp_path / f"{rank}.json").read_text())
        assert found == {"everyone": [[0, 0], [1, 1]], "here": [0, 1]}


def threads() -> list[str]:
    return sorted(file.read_text() for file in Path("/proc/self/task").glob("*/comm"))


@pytest.mark.skipif(sys.platform != "linux", reason="threads are named in /proc")
def test_launch_ends_the_threads_that_talked_to_other_processes() -> None:
    module = sys.modules["vireid_plugins.engine.launch"]

    def talk(_: Any) -> list[str]:
        torch.distributed.all_gather_object([None], 0, group=comm._get_global_gloo_group())
        model: list[Any] = [DistributedDataParallel(torch.nn.Linear(2, 2))]
        model.append(model)  # a circle, as a trainer and its hooks are
        model[0](torch.ones(1, 2)).sum().backward()
        return threads()

    before = threads()
    during = module._joined(talk, None, module.ProcessInfo(0, 1, 0, 1), "cpu", torch.distributed.HashStore())
    if not [name for name in during if "gloo" in name]:
        pytest.skip(f"torch {torch.__version__} does not name its threads")
    assert not [name for name in threads() if "gloo" in name and name not in before]


TORCHRUN = {"RANK": "0", "WORLD_SIZE": "1", "LOCAL_RANK": "0", "LOCAL_WORLD_SIZE": "1"}


@pytest.mark.parametrize(
    ("environment", "processes", "said"),
    [
        ({"LOCAL_RANK": ""}, 1, "LOCAL_RANK: must be set to a number, as torchrun does"),
        ({"RANK": "1"}, 1, "RANK 1, WORLD_SIZE 1, .*: ranks must be below"),
        ({"LOCAL_WORLD_SIZE": "0"}, 1, "ranks must be below"),
        ({}, 2, r"--num-gpus 2 .*torchrun starts the processes \(1\); leave both out"),
        ({"MASTER_ADDR": "", "MASTER_PORT": "x"}, 1, "MASTER_ADDR and MASTER_PORT: the processes cannot connect at :x"),
    ],
)
def test_launch_under_a_torchrun_that_does_not_fit_is_one_error(
    environment: dict[str, str], processes: int, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in {**TORCHRUN, **environment}.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(ConfigError, match=said):
        launch(print, Namespace(num_gpus=processes, num_machines=1, machine_rank=0, dist_url=""), small_cfg())


@pytest.mark.parametrize(("machine", "local", "rank"), [(0, 0, 0), (0, 1, 1), (2, 0, 4), (2, 1, 5)])
def test_worker_of_a_machine_counts_the_processes_before_it(
    machine: int, local: int, rank: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    joined: list[Any] = []
    module = sys.modules["vireid_plugins.engine.launch"]  # the package's name for it is the function
    monkeypatch.setattr(module, "_joined", lambda *given: joined.append(given))
    # The suite's own process is none of a run, and is not to end with another.
    monkeypatch.setattr(module, "begin_own", lambda: None)
    args = Namespace(num_gpus=2, num_machines=3, machine_rank=machine, dist_url="tcp://10.0.0.1:1")
    module._worker(local, print, args, "cuda", None, None)
    assert joined == [(print, args, (rank, 6, local, 2), "cuda", None, "tcp://10.0.0.1:1")]


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (RuntimeError("[../gloo/transport/tcp/pair.cc:553] Connection closed by peer [127.0.0.1]:6336"), True),
        (torch.distributed.DistBackendError("NCCL error: remote process exited"), True),
        (RuntimeError("shapes cannot be multiplied"), False),
        (KeyError("gloo: Connection"), False),
    ],
)
def test_lost_another_tells_the_end_of_another_process_from_an_error_of_this_one(
    error: Exception, expected: bool
) -> None:
    assert lost_another(error) is expected
