import pytest
import torch
from fastreid.modeling.meta_arch import build_model
from fastreid.solver import build_optimizer as fastreid_optimizer
from helpers import batch, small_cfg
from torch import nn

from vireid_plugins.engine.optimizer import build_optimizer
from vireid_plugins.engine.optimizer_state import OptimizerState
from vireid_plugins.errors import ConfigError


def model_of(*overrides: str) -> tuple[torch.nn.Module, object]:
    torch.manual_seed(0)
    cfg = small_cfg("SYSU/one_stream.yml", "MODEL.HEADS.NUM_CLASSES", "6", *overrides)
    return build_model(cfg).train(), cfg


def backward(model: torch.nn.Module, optimizer: torch.optim.Optimizer) -> None:
    losses = sum(model(batch(6, 2)).values())
    optimizer.zero_grad()
    losses.backward()


def step(model: torch.nn.Module, optimizer: torch.optim.Optimizer) -> None:
    backward(model, optimizer)
    optimizer.step()


def change(model: torch.nn.Module, before: dict[str, torch.Tensor]) -> float:
    return max((p - before[name]).abs().max().item() for name, p in model.named_parameters())


def test_build_optimizer_changes_weights_as_fastreids_buffer_does_not() -> None:
    for ours in (True, False):
        model, cfg = model_of()
        before = {name: p.detach().clone() for name, p in model.named_parameters()}
        step(model, build_optimizer(cfg, model) if ours else fastreid_optimizer(cfg, model)[0])
        assert (change(model, before) > 0) is ours


@pytest.mark.parametrize(
    "overrides",
    [
        ["SOLVER.OPT", "Adam"],
        ["SOLVER.OPT", "SGD", "SOLVER.NESTEROV", "True"],
        ["SOLVER.HEADS_LR_FACTOR", "10.0", "SOLVER.BIAS_LR_FACTOR", "2.0", "SOLVER.WEIGHT_DECAY_NORM", "0.0"],
        ["SOLVER.WEIGHT_DECAY_BIAS", "0.02"],
        ["SOLVER.CLIP_GRADIENTS.ENABLED", "True", "SOLVER.CLIP_GRADIENTS.CLIP_VALUE", "0.01"],
    ],
)
def test_build_optimizer_with_few_groups_equals_a_group_a_parameter(overrides: list[str]) -> None:
    ours, cfg = model_of(*overrides)
    plain, _ = model_of(*overrides)
    optimizer = build_optimizer(cfg, ours)
    reference, _ = fastreid_optimizer(cfg, plain, contiguous=False)
    assert len(optimizer.param_groups) <= 5 < len(reference.param_groups)
    assert sum(len(g["params"]) for g in optimizer.param_groups) == len(reference.param_groups)
    for _ in range(2):
        backward(ours, optimizer)
        # The same gradients: where one is nearly 0, Adam makes a whole step of the noise of a second backward pass.
        for a, b in zip(ours.parameters(), plain.parameters(), strict=True):
            b.grad = None if a.grad is None else a.grad.clone()
        optimizer.step()
        reference.step()
    for a, b in zip(ours.parameters(), plain.parameters(), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-5, atol=1e-6)


def test_build_optimizer_gives_heads_a_rate_of_their_own() -> None:
    model, cfg = model_of("SOLVER.HEADS_LR_FACTOR", "10.0")
    rates = {id(p): group["lr"] for group in build_optimizer(cfg, model).param_groups for p in group["params"]}
    for name, parameter in model.named_parameters():
        if parameter.requires_grad:
            assert rates[id(parameter)] == pytest.approx(cfg.SOLVER.BASE_LR * (10 if name.startswith("heads") else 1))


def test_build_optimizer_of_an_unknown_name_is_one_error() -> None:
    model, cfg = model_of("SOLVER.OPT", "Adma")
    with pytest.raises(ConfigError, match="'Adma'; use Adam"):
        build_optimizer(cfg, model)


def test_build_optimizer_multiplies_the_rates_of_the_names_that_match() -> None:
    rows = [["backbone.stem..*", 0.5], ["heads..*", 2.0], ["backbone..*", 3.0]]
    model, cfg = model_of("SOLVER.LR_FACTORS", str(rows), "SOLVER.BASE_LR", "1.0", "SOLVER.BIAS_LR_FACTOR", "1.0")
    rates = {id(p): group["lr"] for group in build_optimizer(cfg, model).param_groups for p in group["params"]}
    expected = {"backbone.stem": 0.5, "heads": 2.0, "backbone.stages": 3.0}
    for name, parameter in model.named_parameters():
        if parameter.requires_grad:
            assert rates[id(parameter)] == next(rate for start, rate in expected.items() if name.startswith(start))


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([["backbone", 0.5]], r"LR_FACTORS: no parameter's whole name matches 'backbone'; names are like backbone\."),
        ([["(", 0.5]], r"LR_FACTORS: invalid row \['\(', 0\.5\]"),
        ([["backbone..*", -1.0]], r"LR_FACTORS: invalid row"),
        ([["backbone..*"]], r"LR_FACTORS: invalid row"),
    ],
)
def test_build_optimizer_with_wrong_factors_is_one_error(rows: list[object], message: str) -> None:
    model, cfg = model_of("SOLVER.LR_FACTORS", str(rows))
    with pytest.raises(ConfigError, match=message):
        build_optimizer(cfg, model)


def test_optimizer_state_restores_buffers_under_the_momentum_of_the_configuration() -> None:
    former, now = (nn.Linear(3, 2) for _ in range(2))
    trained = torch.optim.SGD(former.parameters(), 0.1, momentum=0.9)
    former(torch.ones(1, 3)).sum().backward()
    trained.step()
    resumed = torch.optim.SGD(now.parameters(), 0.2, momentum=0.5, nesterov=True)
    OptimizerState(resumed).load_state_dict(OptimizerState(trained).state_dict())
    (group,) = resumed.param_groups
    assert (group["momentum"], group["nesterov"]) == (0.5, True)
    for mine, theirs in zip(now.parameters(), former.parameters(), strict=True):
        assert torch.equal(resumed.state[mine]["momentum_buffer"], trained.state[theirs]["momentum_buffer"])
