"""Fast convolutions in double precision: torch multiplies one image at a time, this the whole batch at once."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from unittest import mock

import torch
from torch import Tensor, nn
from torch.nn.functional import pad, unfold

TORCHS = nn.Conv2d._conv_forward


def convolved(self: nn.Conv2d, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """Return what torch's does, but for rounding; whatever is not in double precision or has groups is torch's."""
    if x.dtype != torch.float64 or self.groups != 1 or self.padding_mode != "zeros" or isinstance(self.padding, str):
        return TORCHS(self, x, weight, bias)
    size: Any = self.kernel_size
    stride: Any = self.stride
    if tuple(size) == (1, 1):
        x = pad(x, [p for p in reversed(self.padding) for _ in range(2)])[:, :, :: stride[0], :: stride[1]]
        shape = x.shape[2:]
        columns = x.transpose(0, 1).flatten(1)
    else:
        shape = torch.Size(
            (n + 2 * p - d * (k - 1) - 1) // s + 1
            for n, p, d, k, s in zip(x.shape[2:], self.padding, self.dilation, size, stride, strict=True)
        )
        columns = unfold(x, size, self.dilation, self.padding, stride).transpose(0, 1).flatten(1)
    found = (weight.flatten(1) @ columns).view(len(weight), len(x), *shape).transpose(0, 1)
    return found if bias is None else found + bias[:, None, None]


@contextmanager
def quick() -> Iterator[None]:
    """Every convolution inside is `convolved`."""
    with mock.patch.object(nn.Conv2d, "_conv_forward", convolved):
        yield
