import copy
import sys
from typing import Any

import pytest
import torch
from helpers import python
from torch import nn

from vireid_plugins.compat.eager_optimizer import eager

OPTIMIZERS: list[tuple[type[torch.optim.Optimizer], dict[str, Any]]] = [
    (torch.optim.SGD, {"lr": 0.1, "momentum": 0.9, "nesterov": True, "fused": True}),
    (torch.optim.Adam, {"lr": 0.1, "weight_decay": 0.01, "fused": True}),
    (torch.optim.AdamW, {"lr": 0.1}),
    (torch.optim.RMSprop, {"lr": 0.1, "momentum": 0.5}),
]


def trained(kind: type[torch.optim.Optimizer], arguments: dict[str, Any]) -> tuple[list[torch.Tensor], dict[str, Any]]:
    """Weights and state after three steps, the last from the reloaded state."""
    torch.manual_seed(0)
    model, images = nn.Linear(3, 2), torch.randn(4, 3)
    optimizer = kind(model.parameters(), **arguments)
    for number in range(3):
        if number == 2:
            state = copy.deepcopy(optimizer.state_dict())
            optimizer = kind(model.parameters(), **arguments)
            optimizer.load_state_dict(state)
        optimizer.zero_grad()
        model(images).pow(2).sum().backward()
        optimizer.step()
    return [weight.detach() for weight in model.parameters()], optimizer.state_dict()


@pytest.mark.parametrize(("kind", "arguments"), OPTIMIZERS, ids=lambda value: getattr(value, "__name__", None))
def test_eager_optimizer_takes_the_same_steps(kind: type[torch.optim.Optimizer], arguments: dict[str, Any]) -> None:
    (plain, plain_state), (ours, our_state) = trained(kind, arguments), trained(eager(kind), arguments)
    assert all(map(torch.equal, plain, ours))
    assert plain_state["param_groups"] == our_state["param_groups"]
    torch.testing.assert_close(plain_state["state"], our_state["state"], rtol=0, atol=0)


def test_eager_optimizer_is_one_of_its_class_and_name() -> None:
    optimizer = eager(torch.optim.SGD)([torch.zeros(1, requires_grad=True)], lr=0.1)
    assert isinstance(optimizer, torch.optim.SGD)
    assert repr(optimizer).startswith("SGD (")


def test_eager_optimizer_calls_each_hook_once_a_step() -> None:
    called: list[str] = []
    # torch wraps the method `step` of a class when it is first used.
    torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=0.1)
    optimizer = eager(torch.optim.SGD)([torch.zeros(1, requires_grad=True)], lr=0.1)
    optimizer.register_step_pre_hook(lambda *_: called.append("before"))
    optimizer.register_step_post_hook(lambda *_: called.append("after"))
    optimizer.step()
    assert called == ["before", "after"]


def test_eager_optimizer_of_a_scaler_skips_a_step_without_finite_gradients() -> None:
    weight = torch.ones(1, requires_grad=True)
    optimizer = eager(torch.optim.SGD)([weight], lr=0.1)
    scaler = torch.amp.GradScaler("cpu")
    scaler.scale(weight.sum() * float("inf")).backward()
    scaler.step(optimizer)
    assert weight.item() == 1


def test_eager_optimizer_does_not_load_the_compiler() -> None:
    script = (
        "import sys, torch\nfrom vireid_plugins.compat.eager_optimizer import eager\n"
        "weight = torch.ones(1, requires_grad=True)\noptimizer = eager(torch.optim.SGD)([weight], lr=0.1)\n"
        "weight.sum().backward()\noptimizer.step()\noptimizer.zero_grad()\n"
        "optimizer.load_state_dict(optimizer.state_dict())\nprint('torch._dynamo' in sys.modules)"
    )
    ran = python("-c", script)
    assert ran.stdout.strip() == "False", ran.stderr


def test_eager_optimizer_beside_the_compiler_steps_without_gradients(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torch._dynamo", sys.modules.get("torch._dynamo", sys))
    weight = torch.ones(1, requires_grad=True)
    optimizer = eager(torch.optim.SGD)([weight], lr=0.5)
    weight.sum().backward()
    optimizer.step()
    assert weight.item() == 0.5
    assert weight.grad_fn is None
