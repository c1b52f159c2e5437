"""A guard: a step of a method must not take more operations than it did; a change that takes fewer lowers the number.

Counted through torch's dispatcher; other releases of torch split operations differently.
"""

import re
from typing import Any

import pytest
import torch
from helpers import ROOT, often
from narrow import resnet
from shared_parts.operations import Calls, step_operations

# Operations of the bare network and of a step, and all calls of forward, losses and backward.
COUNTS = {
    "one_stream": (383, 425, 789),
    "agw": (529, 592, 1087),
    "caj": (529, 608, 1103),
    "deen": (607, 724, 1319),
    "wrim": (681, 795, 1780),
    "idkl": (970, 1140, 2101),
    "idkl_released": (810, 1013, 1850),
    "mscm": (764, 885, 1722),
    "mscm_released": (764, 844, 1662),
    "icre": (601, 702, 1357),
    "rle": (450, 488, 932),
    "pmt": (689, 771, 1651),
    "mpanet": (450, 569, 1023),
    "saai": (471, 600, 1084),
}

CONSTRAINED = re.search(r"^torch==(\S+)", (ROOT / "constraints.txt").read_text(), re.MULTILINE)
needs_torch = pytest.mark.skipif(
    CONSTRAINED is None or torch.__version__.split("+")[0] != CONSTRAINED[1],
    reason="the counts are those of the torch in constraints.txt",
)


@pytest.fixture
def half_width(monkeypatch: pytest.MonkeyPatch) -> None:
    """Half the channels, on which no count depends; with a quarter, the first stage would lose its shortcut's layer."""
    whole = resnet.ResNet._make_layer

    def narrower(self: Any, block: type, planes: int, *others: Any, **more: Any) -> Any:
        return whole(self, block, planes // 2, *others, **more)

    monkeypatch.setattr(resnet.ResNet, "_make_layer", narrower)


@needs_torch
@pytest.mark.usefixtures("half_width")
@pytest.mark.parametrize("method", often(COUNTS, "wrim"))
def test_step_takes_no_more_operations(method: str) -> None:
    found = step_operations(f"SYSU/{method}")
    counted = (found.network, found.step, found.calls)
    assert all(now <= then for now, then in zip(counted, COUNTS[method], strict=True)), counted


def test_calls_that_compute_nothing_are_no_operations() -> None:
    x = torch.ones(2, 3)
    with Calls() as counted:
        (x.view(3, 2).T + 1).detach()
    assert dict(counted.operations) == {"aten::add.Tensor": 1}
    assert counted.calls > 1
