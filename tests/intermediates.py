"""The intermediate tensors of a computation."""

from collections.abc import Callable
from typing import Any

from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode


class _Watch(TorchDispatchMode):
    """Keeps the largest absolute value and the sizes of all outputs of torch's operations."""

    def __init__(self) -> None:
        super().__init__()
        self.largest = 0.0
        self.sizes: list[int] = []

    def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = function(*args, **(kwargs or {}))
        for value in out if isinstance(out, tuple | list) else (out,):
            if isinstance(value, Tensor) and value.is_floating_point() and value.numel():
                self.largest = max(self.largest, value.abs().max().item())
                self.sizes.append(value.numel())
        return out


def watched(compute: Callable[[], Tensor]) -> tuple[Tensor, float, int]:
    """Return what `compute` returns, its largest absolute intermediate, and the elements of its longest one."""
    with _Watch() as watch:
        found = compute()
    return found, watch.largest, max(watch.sizes)
