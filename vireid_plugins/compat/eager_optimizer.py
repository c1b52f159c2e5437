"""torch's optimizers without its compiler, whose import costs a run more CPU time than torch itself.

torch wraps most methods of an optimizer so that they are not compiled, or so that a compiled graph ends there; the
first call of a wrapper imports `torch._dynamo`. Nothing here compiles an optimizer (`MODEL.COMPILE` compiles stages of
the network), so the methods are called without their wrappers.
"""

from collections.abc import Callable
from functools import wraps
from typing import Any

import torch

# Methods that are wrapped; `step` is wrapped in another way.
_WRAPPED = ("add_param_group", "zero_grad", "state_dict", "load_state_dict")


def eager(optimizer: type[torch.optim.Optimizer]) -> type[torch.optim.Optimizer]:
    """Return a subclass, with the same name, that computes the same and does not import torch's compiler.

    Args:
        optimizer: a class of `torch.optim`.
    """
    methods: dict[str, Any] = {name: _unwrapped(getattr(optimizer, name)) for name in _WRAPPED}
    return type(optimizer.__name__, (optimizer,), {**methods, "step": _step(_unwrapped(optimizer.step))})


def _unwrapped(method: Any) -> Callable[..., Any]:
    while hasattr(method, "__wrapped__"):
        method = method.__wrapped__
    function: Callable[..., Any] = method
    return function


def _step(method: Callable[..., Any]) -> Callable[..., Any]:
    @wraps(method)
    def step(self: torch.optim.Optimizer, *arguments: Any, **named: Any) -> Any:
        # What torch's wrapper does, except for ending a graph.
        with torch.set_grad_enabled(self.defaults.get("differentiable", False)):
            return method(self, *arguments, **named)

    return step
