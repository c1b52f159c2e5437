"""A training step never waits for the device, but where metrics are written.

On a CPU, the dry run, the network is on the meta device, which has no values: whoever reads one gets an error.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import torch
from helpers import small_cfg
from on_device import CUDA, DEVICE, Steps, batches, every_method, network
from torch.utils._python_dispatch import TorchDispatchMode

from vireid_plugins.data.transforms import BatchAugmentation, build_view

pytestmark = pytest.mark.gpu
WARM_UP, WATCHED = 3, 3


class NoBlockingCopy(TorchDispatchMode):
    """Raises where a tensor goes to another device and the host waits for it."""

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        given = kwargs or {}
        out = func(*args, **given)
        copies = {torch.ops.aten._to_copy.default: (0, False), torch.ops.aten.copy_.default: (1, len(args) > 2)}
        if func in copies:
            source, waits_not = copies[func]
            if args[source].device != out.device and not (given.get("non_blocking") or waits_not):
                raise RuntimeError(f"the host waits for a copy from {args[source].device} to {out.device}")
        return out


@contextmanager
def mode(name: str) -> Iterator[None]:
    before = torch.cuda.get_sync_debug_mode()
    torch.cuda.set_sync_debug_mode(name)
    try:
        yield
    finally:
        torch.cuda.set_sync_debug_mode(before)


@contextmanager
def never_waiting() -> Iterator[None]:
    """Raise where the host waits for the device."""
    with mode("error") if CUDA else NoBlockingCopy():
        yield


def let_the_scaler_read(steps: Steps) -> None:
    """An optimizer that is not fused is left out by torch's scaler, which asks the device whether to."""
    step = steps.scaler.step

    def allowed(optimizer: Any) -> None:
        with mode("default"):
            step(optimizer)

    steps.scaler.step = allowed  # type: ignore[method-assign]


def prepared(method: str, dtype: torch.dtype | None) -> Steps:
    """Steps that are warm."""
    if not CUDA:
        model = network(method, "meta")
        steps = Steps(method, None, model, torch.optim.SGD(model.parameters(), 0.1))
        # Autocast, which is off, knows no such device.
        steps.take_step.device = "cpu"
        # Neither metrics nor the accuracy, which is logged every 20 steps.
        steps.metrics.first, steps.storage.iter, steps.trainer.iter = False, 1, 1
        return steps
    steps = Steps(method, dtype)
    for _ in range(WARM_UP):
        steps.take()
    if steps.scaler.is_enabled() and not getattr(steps.optimizer, "_step_supports_amp_scaling", False):
        let_the_scaler_read(steps)
    torch.cuda.synchronize()
    return steps


@every_method
@pytest.mark.parametrize("dtype", [None, torch.bfloat16, torch.float16], ids=["float32", "bfloat16", "float16"])
def test_step_between_two_writings_never_waits(method: str, dtype: torch.dtype | None) -> None:
    if not CUDA and dtype is not None:
        pytest.skip("the meta device has no autocast")
    steps = prepared(method, dtype)
    with never_waiting():
        for _ in range(WATCHED if CUDA else 1):
            losses = steps.take()
    # What would have been noticed: a value that is read, and a copy that is waited for.
    with pytest.raises(RuntimeError), never_waiting():
        losses[0].item()
    with pytest.raises(RuntimeError), never_waiting():
        torch.ones(1).to(losses.device)


@pytest.mark.parametrize("late", [False, True], ids=["bytes", "after-norm"])
def test_augmentation_on_the_device_never_waits(late: bool) -> None:
    """`INPUT.AUGMENT device`, whose batches are made inside a step."""
    cfg = small_cfg("SYSU/mscm.yml", "INPUT.AFTER_NORM", str(late))
    chains = (cfg.INPUT.VIEWS.VISIBLE, cfg.INPUT.VIEWS.INFRARED)
    augment = BatchAugmentation([[build_view(cfg, names) for names in modality] for modality in chains], DEVICE)
    taken = batches("mscm")
    augment(next(taken), 0)
    with never_waiting():
        assert augment(next(taken), 1)["images"].device.type == DEVICE
