"""MAM's formula, its limits and its initial weights."""

import pytest
import torch
import torch.nn.functional as F

from vireid_plugins.modeling.attention import MAM


def test_mam_equals_its_formula_and_does_not_depend_on_the_batch() -> None:
    torch.manual_seed(0)
    module = MAM(32, reduction=8).double()
    x = 3 * torch.randn(4, 32, 6, 3, dtype=torch.double) + 1
    down, up = module.gate[0].weight[..., 0, 0], module.gate[2].weight[..., 0, 0]
    for row in range(4):
        m = torch.sigmoid(up @ F.relu(down @ x[row].mean((1, 2))))[:, None, None]
        normalized = (x[row] - x[row].mean((1, 2), keepdim=True)) / (
            x[row].var((1, 2), correction=0, keepdim=True) + 1e-5
        ).sqrt()
        expected = m * x[row] + (1 - m) * normalized
        torch.testing.assert_close(module(x)[row], expected)
        # Also at test, and alone.
        torch.testing.assert_close(module.eval()(x[row : row + 1])[0], expected)
        module.train()


def test_mam_has_no_weights_or_statistics_besides_its_gate() -> None:
    assert [(name, tuple(value.shape)) for name, value in MAM(64).state_dict().items()] == [
        ("gate.0.weight", (4, 64, 1, 1)),
        ("gate.2.weight", (64, 4, 1, 1)),
    ]


def test_mam_starts_kaiming_normal_by_fan_out() -> None:
    torch.manual_seed(0)
    module = MAM(1024)
    assert module.gate[0].weight.std().item() == pytest.approx((2 / 64) ** 0.5, rel=0.02)
    assert module.gate[2].weight.std().item() == pytest.approx((2 / 1024) ** 0.5, rel=0.02)
