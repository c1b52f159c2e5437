"""Cross-entropy of several heads in one call."""

import pytest
import torch
import torch.nn.functional as F

from vireid_plugins.modeling import Branch, LossInputs
from vireid_plugins.modeling.losses import HardTriplet, LabelSmoothCE, Loss, WeightedTriplet
from vireid_plugins.modeling.losses.label_smooth_ce import smooth_cross_entropy


@pytest.mark.parametrize("heads", [1, 3])
@pytest.mark.parametrize("epsilon", [0.0, 0.1, 1.0])
def test_smooth_cross_entropy_equals_torchs(epsilon: float, heads: int) -> None:
    logits = (10 * torch.randn(heads, 7, 5, dtype=torch.double)).requires_grad_()
    targets = torch.randint(0, 5, (7,))
    found = smooth_cross_entropy(logits, targets, epsilon)
    expected = torch.stack([F.cross_entropy(one, targets, label_smoothing=epsilon) for one in logits])
    torch.testing.assert_close(found, expected, rtol=1e-12, atol=1e-12)
    gradients = [torch.autograd.grad(value.square().sum(), logits)[0] for value in (found, expected)]
    torch.testing.assert_close(*gradients, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("loss", [LabelSmoothCE(scale=0.5), HardTriplet(), WeightedTriplet(released_eps=True)])
def test_losses_of_several_inputs_together_are_those_of_each(loss: Loss) -> None:
    """Branches of one width and of several; inputs with other rows are not mixed."""

    def branch(width: int) -> Branch:
        return Branch(torch.randn(8, width), torch.randn(8, width), torch.randn(8, 5))

    rows = torch.arange(2).repeat(4), torch.arange(2).repeat_interleave(4), torch.zeros(8)
    first = LossInputs({"a": branch(6), "b": branch(6)}, *rows)
    for other in (LossInputs({"c": branch(6)}, *rows), LossInputs({"c": branch(3)}, *rows)):
        for second in (other, LossInputs(other.branches, *(column.clone() for column in rows))):
            found = loss.terms([first, second])
            torch.testing.assert_close(found, [loss(first), loss(second)])
