"""In double precision the device computes what a CPU computes, but for rounding."""

import copy
from typing import Any

import devices
import pytest
import torch
from near import assert_near
from on_device import DEVICE, every_method

pytestmark = pytest.mark.gpu


def computed(model: torch.nn.Module, batch: dict[str, Any]) -> dict[str, torch.Tensor]:
    """Losses, gradients, statistics of batch norms and, by these, features."""
    losses = model(batch)
    assert all(value.dtype == torch.float64 for value in losses.values())
    sum(losses.values()).backward()
    gradients = {f"gradient of {key}": p.grad for key, p in model.named_parameters() if p.grad is not None}
    buffers = {f"buffer {key}": value for key, value in model.named_buffers()}
    with torch.no_grad():
        features = model.eval()(batch)
    return {**losses, **gradients, **buffers, "features": features}


@every_method
def test_step_and_features_in_float64_are_those_of_a_cpu(method: str) -> None:
    case: tuple[str, list[str]] = (f"SYSU/{method}.yml", [])
    model = devices.network(case, frozen=False)
    batch = devices.whole_batch(case)
    elsewhere = copy.deepcopy(model).to(DEVICE)
    assert_near(computed(elsewhere, batch), computed(model, batch))
