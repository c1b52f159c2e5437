"""Train as tools/train_net.py does and die at a given point: python dying.py POINT ARGUMENTS...

Points: `step:14`, before iteration 14; `half`, with a checkpoint half written; `renamed`, with a checkpoint in place
that nothing points to yet; `line`, with half a line of metrics.json written; `best`, with the best weights written, but
not that the run has them; `final`, with the run saved after its last epoch and no final weights; `SIGTERM:14` and
`SIGINT:14`, by that signal sent to itself before iteration 14; `never`.
"""

import io
import os
import signal
import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "tools"))
import torch
from _run import run_script
from fastreid.utils.events import JSONWriter

from vireid_plugins.engine import Trainer, VireidCheckpointer


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def at_step(number: int, name: str) -> None:
    whole = Trainer.run_step

    def run_step(self: Any) -> None:
        if self.iter == number:
            os.kill(os.getpid(), getattr(signal, name))
        whole(self)

    Trainer.run_step = run_step


def half_a_file(content: object, stream: Any) -> None:
    buffer = io.BytesIO()
    save(content, buffer)
    stream.write(buffer.getvalue()[: len(buffer.getvalue()) // 2])
    stream.flush()
    die()


def half_a_line(self: Any) -> None:
    self._file_handle.write('{"iteration": 11, "total_lo')
    self._file_handle.flush()
    die()


save = torch.save
point, _, number = sys.argv.pop(1).partition(":")
if point in ("step", "SIGTERM", "SIGINT"):
    at_step(int(number), "SIGKILL" if point == "step" else point)
elif point == "half":
    torch.save = half_a_file
elif point == "renamed":
    VireidCheckpointer.tag_last_checkpoint = lambda self, name: die()
elif point == "line":
    JSONWriter.write = half_a_line
elif point == "best":
    written = VireidCheckpointer.save_weights
    VireidCheckpointer.save_weights = lambda self, name, **others: (written(self, name, **others), die())
elif point == "final":
    whole_file = VireidCheckpointer.save_weights
    VireidCheckpointer.save_weights = lambda self, name, **others: (
        die() if name == "model_final" else whole_file(self, name, **others)
    )
run_script("train")
