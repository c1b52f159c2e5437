"""Full precision inside autocast."""

from contextlib import AbstractContextManager, nullcontext

import torch
import torch.nn.functional as F
from torch import Tensor

LARGEST_COSINE = 1 - 1e-7


def without_autocast(device: torch.device) -> AbstractContextManager[object]:
    """Return a context that disables autocast; a no-op on devices without autocast."""
    return torch.autocast(device.type, enabled=False) if torch.amp.is_autocast_available(device.type) else nullcontext()


def full_precision(x: Tensor) -> Tensor:
    """Return half-precision tensors as float32, others unchanged: half-precision distances are off by 10 %."""
    return x.float() if x.dtype in (torch.float16, torch.bfloat16) else x


def cosines(features: Tensor, weights: Tensor) -> Tensor:
    """Return the cosines (B, N) of features (B, D) and class weights (N, D), at least in float32.

    They stay within 1 - 1e-7, where the gradient of the arccosine is finite.
    """
    with without_autocast(features.device):
        unit = F.normalize(full_precision(features)), F.normalize(full_precision(weights))
        return F.linear(*unit).clamp(-LARGEST_COSINE, LARGEST_COSINE)
