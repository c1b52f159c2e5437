"""Runs command lines as a user would, each in a process of its own that is forked from one where all is imported.

As a script it is that process: it reads a JSON line `{"words", "env", "cwd", "limit"}` and answers with one.
"""

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


class Ran(NamedTuple):
    """How a command ended: its exit code (-9 if it was too slow), both of its streams, and how long it took."""

    code: int
    said: str
    seconds: float


class Commands:
    """Forks commands; to be closed."""

    def __init__(self) -> None:
        self.server = subprocess.Popen(
            [sys.executable, __file__], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
            env={**os.environ, "OMP_NUM_THREADS": "1"},
        )  # fmt: skip

    def run(self, words: list[str], cwd: Path, env: dict[str, str], limit: float = 300) -> Ran:
        """Run a script with arguments in a folder."""
        assert self.server.stdin is not None
        assert self.server.stdout is not None
        self.server.stdin.write(json.dumps({"words": words, "env": env, "cwd": str(cwd), "limit": limit}) + "\n")
        self.server.stdin.flush()
        return Ran(*json.loads(self.server.stdout.readline()))

    def close(self) -> None:
        """End the process that forks."""
        self.server.communicate()


def become(words: list[str], env: dict[str, str], cwd: str, output: int) -> None:
    """Turn this process into the command; does not return."""
    code = 1
    try:
        os.setsid()
        os.dup2(output, 1)
        os.dup2(output, 2)
        os.chdir(cwd)
        os.environ.update(env)
        sys.argv, sys.path[0] = words, str(Path(words[0]).resolve().parent)
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


def forked(words: list[str], env: dict[str, str], cwd: str, limit: float) -> Ran:
    """Fork a command and wait for it."""
    reading, writing = os.pipe()
    start = time.monotonic()
    pid = os.fork()
    if pid == 0:
        os.close(reading)
        become(words, env, cwd, writing)
    os.close(writing)
    said = b""
    while (left := start + limit - time.monotonic()) > 0:
        if select.select([reading], [], [], left)[0]:
            part = os.read(reading, 65536)
            if not part:
                break
            said += part
    else:
        os.killpg(pid, signal.SIGKILL)
    _, status = os.waitpid(pid, 0)
    os.close(reading)
    return Ran(os.waitstatus_to_exitcode(status), said.decode(errors="replace"), time.monotonic() - start)


def serve() -> None:
    """Answer requests until there are no more."""
    import matplotlib.pyplot  # noqa: F401  what commands import, once for all of them
    import torch

    import vireid_plugins.analysis
    import vireid_plugins.deploy
    import vireid_plugins.engine
    import vireid_plugins.retrieval  # noqa: F401

    torch.set_num_threads(1)
    for line in sys.stdin:
        sys.stdout.write(json.dumps(forked(**json.loads(line))) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    serve()
