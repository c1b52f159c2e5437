"""Runs command lines one after the other as a reader of the docs would: python follow.py STEPS.json LOG.

A child is forked for each, so that the package is imported once. `STEPS.json` holds [environment, words] pairs; the
words are a script and its arguments. The first that fails ends it, with the command and what it said.
"""

import json
import os
import runpy
import sys
import traceback
from pathlib import Path


def child(environment: dict[str, str], words: list[str], log: int) -> None:
    """Become the command; does not return."""
    code = 1
    try:
        os.dup2(log, 1)
        os.dup2(log, 2)
        os.environ.update(environment)
        sys.argv, sys.path[0] = words, str(Path(words[0]).resolve().parent)
        runpy.run_path(words[0], run_name="__main__")
        code = 0
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else int(end.code is not None)
        if isinstance(end.code, str):
            sys.stderr.write(end.code)
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def main() -> None:
    """Follow the steps."""
    import torch

    import vireid_plugins.engine  # noqa: F401  what every command imports

    torch.set_num_threads(1)
    log = os.open(sys.argv[2], os.O_CREAT | os.O_RDWR | os.O_APPEND)
    for environment, words in json.loads(Path(sys.argv[1]).read_text()):
        sys.stdout.flush()
        pid = os.fork()
        if pid == 0:
            child(environment, words, log)
        _, status = os.waitpid(pid, 0)
        if status:
            said = Path(sys.argv[2]).read_text(errors="replace")
            sys.exit(f"{' '.join(words)}\nended with {os.waitstatus_to_exitcode(status)}:\n{said[-3000:]}")


if __name__ == "__main__":
    main()
