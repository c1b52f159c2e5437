"""Operations of a step of every method: what losses, their backward pass and metrics add to the network."""

from collections.abc import Callable
from functools import partial
from pathlib import Path

from shared_parts.operations import step_operations

from speed_parts.measure import Subject
from speed_parts.sizes import size

# Shipped configurations for SYSU-MM01.
METHODS = size({
    "one_stream": "one-stream", "agw": "AGW", "caj": "CAJ", "deen": "DEEN", "wrim": "WRIM-Net", "idkl": "IDKL",
    "idkl_released": "IDKL, released", "mscm": "MSCMNet", "mscm_released": "MSCMNet, released", "icre": "ICRE",
    "mpanet": "MPANet", "saai": "SAAI", "rle": "RLE",
}, {"one_stream": "one-stream"})  # fmt: skip


def _count(method: str, folder: Path, device: str) -> Callable[[], object]:
    def count() -> dict[str, float]:
        found = step_operations(f"SYSU/{method}")
        return {"network": found.network, "step": found.step, "share": found.share, "calls": found.calls}

    return count


SUBJECTS = [
    Subject(f"{name}, operations of a step", "this package", partial(_count, method), slow=True)
    for method, name in METHODS.items()
]
