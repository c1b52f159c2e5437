"""Compare tensors of two devices, or of one process and several, in double precision."""

from collections.abc import Mapping

import torch
from torch import Tensor

# Relative to a tensor's largest value. Sums of up to 2^20 terms in another order differ by at most 2^20 x 2^-53 =
# 1.2e-10; a single operation in float32 is off by 2^-24 = 6e-8. A value between the two separates faults from rounding.
TOLERANCE = 1e-9
# The gradient of a bias before a batch norm is zero except for rounding, which is not compared.
LEAST = 1e-5


def assert_near(found: Mapping[str, Tensor], expected: Mapping[str, Tensor]) -> None:
    """Raise an `AssertionError` that names the tensor unless all agree; they may be on different devices."""
    assert set(found) == set(expected)
    for key, value in expected.items():
        value, other = value.detach().cpu().double(), found[key].detach().cpu().double()
        scale = max(LEAST, float(value.abs().max()))
        torch.testing.assert_close(
            other / scale, value / scale, rtol=0, atol=TOLERANCE, msg=lambda text, k=key: f"{k}: {text}"
        )
