"""Every method learns in half precision on the device."""

import pytest
import torch
from on_device import CUDA, Steps, every_method

pytestmark = pytest.mark.gpu


@every_method
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16], ids=["float16", "bfloat16"])
def test_step_in_half_precision_is_finite_and_changes_every_weight(method: str, dtype: torch.dtype) -> None:
    """In float16 the first steps may be left out, until the scaler has found its scale."""
    if dtype is torch.float16 and not CUDA:
        pytest.skip("float16 needs a CUDA device: on a CPU the package refuses it (SOLVER.AMP.DTYPE)")
    steps = Steps(method, dtype)
    waiting = {key: value.detach().clone() for key, value in steps.model.named_parameters() if value.requires_grad}
    for _ in range(20):
        assert torch.isfinite(steps.take()).all()
        now = dict(steps.model.named_parameters())
        waiting = {key: value for key, value in waiting.items() if torch.equal(value, now[key])}
        if not waiting:
            break
    assert not list(waiting)
    assert all(torch.isfinite(value).all() for value in steps.model.state_dict().values())
