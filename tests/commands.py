"""Run commands as a user would, each in its own process, without importing torch for each.

Starting a script costs seconds of imports, and the suite starts hundreds of scripts. So `Commands` starts one process,
the server, that imports the package once. For every command the server forks: the child has all modules in memory,
takes the command's arguments, environment, folder and streams, and runs the script or the command `vireid`. Unlike a
fresh process, a forked child cannot find other packages or start fresh processes; tests that need that run a fresh
interpreter (`helpers.python`). The processes of a run on several devices are its forks.

Run as a script, this file is the server: it reads a JSON line `{"words", "env", "cwd", "limit", "disk"}` and answers
with one.
"""

import functools
import gc
import importlib
import json
import os
import runpy
import select
import signal
import subprocess
import sys
import time
import traceback
from pathlib import Path
from typing import NamedTuple

from small_disk import enter


class Ran(NamedTuple):
    """How a command ended: its exit code (-9 if it was too slow), its streams, and how long it took."""

    code: int
    out: str
    err: str
    seconds: float

    @property
    def said(self) -> str:
        """Both streams."""
        return self.out + "\n" + self.err


class Commands:
    """Forks commands; to be closed."""

    def __init__(self) -> None:
        self.server = subprocess.Popen(
            [sys.executable, __file__], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
            env={**os.environ, "OMP_NUM_THREADS": "1"},
        )  # fmt: skip

    def run(self, words: list[str], cwd: Path, env: dict[str, str], limit: float = 600, disk: int = 0) -> Ran:
        """Run a script or `vireid` with arguments in a folder, with this environment and `env` over it.

        With `disk`, the process that holds a `SmallDisk`, the command sees that file system.
        """
        assert self.server.stdin is not None
        assert self.server.stdout is not None
        whole = {**os.environ, "OMP_NUM_THREADS": "1", **env}
        asked = {"words": words, "env": whole, "cwd": str(cwd), "limit": limit, "disk": disk}
        self.server.stdin.write(json.dumps(asked) + "\n")
        self.server.stdin.flush()
        return Ran(*json.loads(self.server.stdout.readline()))

    def close(self) -> None:
        """End the process that forks."""
        self.server.communicate()


def become(words: list[str], env: dict[str, str], cwd: str, streams: tuple[int, int], disk: int) -> None:
    """Turn this process into the command; does not return."""
    code = 1
    try:
        if disk:
            enter(disk)
        os.setsid()
        os.dup2(streams[0], 1)
        os.dup2(streams[1], 2)
        os.chdir(cwd)
        os.environ.clear()
        os.environ.update(env)
        # A fresh interpreter would begin with it.
        sys.path[1:1] = [folder for folder in env.get("PYTHONPATH", "").split(os.pathsep) if folder]
        sys.argv = words
        # fast-reid's own trainer reads it when it is imported.
        sys.modules["fastreid.data.build"]._root = os.getenv("FASTREID_DATASETS", "datasets")
        launching = sys.modules["vireid_plugins.engine.launch"]
        launching.start_processes = functools.partial(launching.start_processes, start_method="fork")
        if words[0] == "vireid":
            runpy.run_module("vireid_plugins", run_name="__main__")
        else:
            sys.path[0] = str(Path(words[0]).resolve().parent)
            runpy.run_path(words[0], run_name="__main__")
        code = 0
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else int(end.code is not None)
        if isinstance(end.code, str):
            sys.stderr.write(end.code + "\n")
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def forked(words: list[str], env: dict[str, str], cwd: str, limit: float, disk: int) -> Ran:
    """Fork a command and wait for it."""
    pipes = [os.pipe(), os.pipe()]
    start = time.monotonic()
    pid = os.fork()
    if pid == 0:
        become(words, env, cwd, (pipes[0][1], pipes[1][1]), disk)
    said: dict[int, bytes] = {}
    for reading, writing in pipes:
        os.close(writing)
        said[reading] = b""
    open_ = list(said)
    while open_ and (left := start + limit - time.monotonic()) > 0:
        for reading in select.select(open_, [], [], left)[0]:
            part = os.read(reading, 65536)
            said[reading] += part
            if not part:
                open_.remove(reading)
    if open_:
        os.killpg(pid, signal.SIGKILL)
    _, status = os.waitpid(pid, 0)
    for reading in said:
        os.close(reading)
    out, err = (text.decode(errors="replace") for text in said.values())
    return Ran(os.waitstatus_to_exitcode(status), out, err, time.monotonic() - start)


def serve() -> None:
    """Answer requests until there are no more."""
    import matplotlib.figure  # noqa: F401  what commands import, once for all of them
    import narrow  # noqa: F401  makes the depth 18x small
    import numba  # noqa: F401
    import numpy as np
    import scipy.io  # noqa: F401
    import torch
    import torch.utils.tensorboard

    import vireid_plugins.checkpoints
    import vireid_plugins.cli.main
    import vireid_plugins.detections
    import vireid_plugins.engine
    import vireid_plugins.export
    import vireid_plugins.search
    import vireid_plugins.visualize  # noqa: F401
    from vireid_plugins.evaluation import evaluate_ranking

    # With torch._dynamo more than a second. Not before the package, which repairs it.
    importlib.import_module("torchvision.models")
    torch.set_num_threads(1)
    # The first call of a compiled loop fills numba's tables.
    for dtype in (np.float32, np.float64):
        evaluate_ranking(np.zeros((1, 1), dtype), [0], [0])
    # A child's collector would copy every page that it looks at.
    gc.collect()
    gc.freeze()
    for line in sys.stdin:
        sys.stdout.write(json.dumps(forked(**json.loads(line))) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    serve()
