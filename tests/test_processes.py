"""Processes that read and write images: how they are started."""

import multiprocessing
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from helpers import HANG, ROOT, python

from vireid_plugins.errors import LoaderError
from vireid_plugins.processes import NEEDS_GUARD, context, in_processes, loader_arguments


def who(_: int) -> int:
    return os.getpid()


@pytest.fixture
def _thread() -> Iterator[None]:
    """A second thread of this process, as torch has them."""
    end = threading.Event()
    thread = threading.Thread(target=end.wait)
    thread.start()
    yield
    end.set()
    thread.join()


@pytest.mark.parametrize(("workers", "chunk"), [(1, 1), (2, 5)], ids=["one-worker", "one-chunk"])
def test_in_processes_with_nothing_to_share_stays_here(workers: int, chunk: int) -> None:
    assert {*in_processes(who, range(5), workers, chunk)} == {os.getpid()}


@pytest.mark.usefixtures("_thread")
@pytest.mark.filterwarnings("error::DeprecationWarning")  # Python 3.12 and later warn of forks beside threads
def test_in_processes_keeps_the_order_and_forks_no_process_with_threads() -> None:
    assert list(in_processes(abs, [-3, 2, -1], 2)) == [3, 2, 1]
    assert os.getpid() not in {*in_processes(who, range(8), 2, chunk=2)}


def test_in_processes_of_a_script_that_does_its_work_when_imported_says_what_to_change(tmp_path: Path) -> None:
    (tmp_path / "script.py").write_text(
        "from vireid_plugins.processes import in_processes\n"
        "print('imported', flush=True)\n"
        "print(list(in_processes(abs, [-1, 2], 2)))\n"
    )
    ran = python(str(tmp_path / "script.py"), OMP_NUM_THREADS="1")
    assert ran.returncode == 1
    # By this process and by the first worker: no other is started beside it, whose output could follow our error.
    assert ran.stdout.splitlines() == ["imported"] * 2
    assert ran.stderr.splitlines()[-1].endswith(NEEDS_GUARD), ran.stderr


@pytest.mark.parametrize("error", [OSError("handle is closed"), EOFError(), BrokenPipeError(32, "Broken pipe")])
def test_in_processes_whose_process_dies_while_the_next_starts_says_what_to_change(
    error: Exception, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr("vireid_plugins.processes.ProcessPoolExecutor.map", broken)
    with pytest.raises(LoaderError, match="worker processes died"):
        list(in_processes(abs, [-1, 2], 2))


def require_ended(left: list[str], count: int) -> None:
    """Wait for the end of processes that a script has printed."""
    assert len(left) == count
    deadline = time.monotonic() + HANG
    while any(Path(f"/proc/{pid}").exists() for pid in left):
        assert time.monotonic() < deadline, f"{left} are left"
        time.sleep(0.05)


@pytest.mark.skipif(sys.platform != "linux", reason="threads are counted in /proc")
def test_context_is_a_server_of_one_thread_that_outlives_sigterm(tmp_path: Path) -> None:
    (tmp_path / "script.py").write_text(
        "import os, pathlib, signal\n"
        "from vireid_plugins.processes import in_processes\n"
        "def parent(_):\n    return os.getppid()\n"
        "if __name__ == '__main__':\n"
        "    (server,) = set(in_processes(parent, range(2), 2))\n"
        "    os.kill(server, signal.SIGTERM)\n"
        "    threads = list(pathlib.Path(f'/proc/{server}/task').iterdir())\n"
        "    print(len(threads), {server} == set(in_processes(parent, range(2), 2)), os.environ['OMP_NUM_THREADS'])\n"
    )
    ran = python(str(tmp_path / "script.py"), OMP_NUM_THREADS="3")
    assert ran.stdout.split() == ["1", "True", "3"], ran.stderr


@pytest.mark.skipif(sys.platform != "linux", reason="processes are looked up in /proc")
@pytest.mark.parametrize("how", ["loader", "pool"])
def test_end_with_parent_leaves_no_process_of_a_run_that_was_killed(how: str, tmp_path: Path) -> None:
    (tmp_path / "script.py").write_text(
        "import os, signal, sys, time, torch\n"
        "from vireid_plugins.data.worker_errors import ReportingLoader\n"
        "from vireid_plugins.processes import in_processes\n"
        "class Pids(torch.utils.data.Dataset):\n"
        "    def __getitem__(self, _):\n        return os.getpid(), os.getppid()\n"
        "    def __len__(self):\n        return 8\n"
        "def pids(_):\n    return os.getpid(), os.getppid()\n"
        "if __name__ == '__main__':\n"
        "    if sys.argv[1] == 'pool':\n        rows = in_processes(pids, range(64), 2)\n"
        "    else:\n        rows = iter(ReportingLoader(dataset=Pids(), batch_size=None, workers=2, timeout=0))\n"
        "    print(*map(int, next(rows)), flush=True)\n"
        "    os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    ran = subprocess.run(
        [sys.executable, str(tmp_path / "script.py"), how], cwd=ROOT, capture_output=True, text=True, timeout=HANG
    )
    require_ended(ran.stdout.split(), 2)


@pytest.mark.skipif(sys.platform != "linux", reason="processes are looked up in /proc")
def test_ending_with_this_ends_a_process_that_is_still_importing(tmp_path: Path) -> None:
    """The spawned process imports the script, which for it takes an hour."""
    (tmp_path / "script.py").write_text(
        "import multiprocessing, os, signal, sys, time\n"
        "if __name__ != '__main__':\n    print('imports', flush=True)\n    time.sleep(3600)\n"
        f"sys.path.insert(0, {str(ROOT)!r})\n"
        "from vireid_command import plain\n"
        "with plain('vireid_plugins.processes').ending_with_this():\n"
        "    child = multiprocessing.get_context('spawn').Process(target=time.sleep, args=(0,))\n"
        "    child.start()\n"
        "print(child.pid, flush=True)\n"
        "input()\n"
        "os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    parent = subprocess.Popen(
        [sys.executable, str(tmp_path / "script.py")], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert parent.stdout is not None
    lines = [parent.stdout.readline(), parent.stdout.readline()]
    (pid,) = [line.strip() for line in lines if line.strip().isdigit()]
    assert "imports\n" in lines
    # Ends when the child, which has the same output, is gone.
    parent.communicate("\n", timeout=HANG)
    assert not Path(f"/proc/{pid}").exists() or "Z" in Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2]


# A rank that waits for one on another machine, which never comes, and a training of a split, which waits.
WAITING = """
import argparse, multiprocessing, os, signal, socket, threading, time
from vireid_plugins.engine.launch import _start
from vireid_plugins.engine.regdb_splits import _in_own_process

def children(count):
    while len(found := multiprocessing.active_children()) < count:
        time.sleep(0.05)
    return [child.pid for child in found]

if __name__ == "__main__":
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    args = argparse.Namespace(num_gpus=1, num_machines=2, machine_rank=0, dist_url=f"tcp://127.0.0.1:{port}")
    threads = [
        threading.Thread(target=_start, args=(print, args, "cpu"), daemon=True),
        threading.Thread(target=_in_own_process, args=(time.sleep, 3600, "it"), daemon=True),
    ]
    for thread in threads:
        thread.start()
    pids = children(2)
    while socket.socket().connect_ex(("127.0.0.1", port)):
        time.sleep(0.05)
    print(*pids, flush=True)
    os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="processes are looked up in /proc")
def test_begin_own_leaves_no_rank_and_no_split_of_a_run_that_was_killed(tmp_path: Path) -> None:
    (tmp_path / "script.py").write_text(WAITING)
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    ran = subprocess.run(
        [sys.executable, str(tmp_path / "script.py")], cwd=ROOT, env=environment, capture_output=True, text=True,
        timeout=HANG,
    )  # fmt: skip
    require_ended(ran.stdout.split(), 2)


def test_context_where_there_is_no_fork_server_is_spawn(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(multiprocessing, "get_all_start_methods", lambda: ["spawn"])
    assert context().get_start_method() == "spawn"


def test_loader_arguments_fit_torch_s_loader() -> None:
    class Numbers(torch.utils.data.Dataset[int]):
        def __getitem__(self, number: int) -> int:
            return number

    for workers in (0, 2):
        assert torch.utils.data.DataLoader(Numbers(), **loader_arguments(workers)).num_workers == workers
