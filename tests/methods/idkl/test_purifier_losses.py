import math
from collections.abc import Sequence

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from vireid_plugins.errors import ConfigError
from vireid_plugins.methods.idkl.losses import (
    IDKLInputs,
    ModalityHeads,
    Purification,
    PurifierTerms,
    entropy,
    pseudo_labels,
    purified_entropy,
    purified_relation,
)
from vireid_plugins.methods.idkl.modules import GradientReversal
from vireid_plugins.modeling import Branch

Y = torch.tensor([3, 3, 7, 3, 3, 7])
MODALITIES = torch.tensor([0, 0, 0, 1, 1, 1])


def test_purifier_terms_of_even_sure_and_collapsed_inputs_are_their_limits() -> None:
    even, sure = torch.zeros(2, 4), torch.tensor([[100.0, 0, 0, 0]] * 2)
    assert entropy(even).tolist() == pytest.approx([math.log(4)] * 2)
    assert entropy(sure).tolist() == pytest.approx([0, 0], abs=1e-6)
    assert purified_entropy(even, even).item() == pytest.approx(math.log(2))
    assert purified_entropy(sure, even, "released").item() == 0
    collapsed = torch.ones(6, 3, requires_grad=True)
    value = purified_relation(collapsed, collapsed.clone(), Y, 3)
    value.backward()
    assert value.item() == pytest.approx(math.log(2))
    assert torch.isfinite(collapsed.grad).all()
    assert purified_relation(torch.randn(4, 3), torch.randn(4, 3), torch.ones(4), 2).ndim == 0


@pytest.mark.parametrize("form", ["paper", "released"])
def test_purifier_terms_have_numerical_gradients(form: str) -> None:
    a, b = (torch.randn(6, 3, dtype=torch.double, requires_grad=True) for _ in range(2))
    assert torch.autograd.gradcheck(lambda a, b: purified_entropy(a, b, form), (a, b))
    assert torch.autograd.gradcheck(lambda a, b: purified_relation(a, b, Y, 3, form), (a, b))


def inputs(confusers: Sequence[Tensor] = (), discriminators: Sequence[Tensor] = (), **purifier: Tensor) -> IDKLInputs:
    branch = Branch(torch.zeros(6, 1), torch.zeros(6, 1), torch.zeros(6, 1))
    terms = PurifierTerms(**purifier) if purifier else None
    heads = {"confusers": confusers, "discriminators": discriminators}
    return IDKLInputs({}, Y, MODALITIES, torch.zeros(6), specific=branch, purifier=terms, **heads)


def test_pseudo_labels_turn_every_second_row_of_each_modality_around() -> None:
    """The released code's order I,R,I,R and labels 1,0,0,1,1,0,0,1: even pairs are true, odd ones the other way."""
    assert pseudo_labels(MODALITIES, 3).tolist() == [0, 1, 0, 1, 0, 1]
    five = torch.tensor([0] * 5 + [1] * 5)
    assert pseudo_labels(five, 5).tolist() == [0, 1, 0, 1, 0, 1, 0, 1, 0, 1]


def test_modality_heads_are_cross_entropies_of_true_or_pseudo_labels() -> None:
    torch.manual_seed(0)
    first, second, third = (torch.randn(6, 2) for _ in range(3))
    found = ModalityHeads(scale=2.0)(inputs([first, second], [third]))
    expected = F.cross_entropy(first, MODALITIES) + F.cross_entropy(second, MODALITIES)
    torch.testing.assert_close(found["confuser"], 2 * expected)
    torch.testing.assert_close(found["discriminator"], 2 * F.cross_entropy(third, MODALITIES))
    pseudo = ModalityHeads(confuser_labels="pseudo")(inputs([first]))
    expected = F.cross_entropy(first, torch.tensor([0, 1, 0, 1, 0, 1]))
    assert pseudo.keys() == {"confuser"}
    assert ModalityHeads().applies(inputs([first]))
    assert ModalityHeads().applies(inputs([], [first]))
    torch.testing.assert_close(pseudo["confuser"], expected)
    assert not ModalityHeads().applies(inputs())


def by_row(logits: Tensor) -> float:
    """The mean over rows of -log softmax of the row's modality."""
    terms = [
        math.log(sum(math.exp(value) for value in row)) - row[label]
        for row, label in zip(logits.tolist(), MODALITIES.tolist(), strict=True)
    ]
    return sum(terms) / len(terms)


@pytest.mark.parametrize("reduction", ["sum", "mean"])
def test_modality_heads_of_several_heads_are_summed_or_averaged(reduction: str) -> None:
    """Eq. 2-4: three confusers and two discriminators count one by one; the mean divides each group by its own size."""
    torch.manual_seed(0)
    logits = [torch.randn(6, 2, dtype=torch.double, requires_grad=True) for _ in range(5)]
    found = ModalityHeads(reduction=reduction)(inputs(logits[:3], logits[3:]))
    for group, heads in (("confuser", logits[:3]), ("discriminator", logits[3:])):
        expected = sum(by_row(head) for head in heads) / (len(heads) if reduction == "mean" else 1)
        assert found[group].item() == pytest.approx(expected, rel=1e-12)
    one_head = (logits[:1], logits[3:4])
    assert ModalityHeads(reduction=reduction)(inputs(*one_head)) == ModalityHeads()(inputs(*one_head))


def test_modality_heads_with_an_unknown_reduction_is_one_error() -> None:
    with pytest.raises(
        ConfigError, match=r"MODEL\.LOSSES\.MODALITY_HEADS\.REDUCTION: unknown value 'max'; available: mean, sum"
    ):
        ModalityHeads(reduction="max")


def test_gradient_reversal_turns_the_gradient_around_and_nothing_else() -> None:
    x = torch.randn(3, 2, requires_grad=True)
    out = GradientReversal(0.5)(x)
    assert torch.equal(out, x)
    out.square().sum().backward()
    torch.testing.assert_close(x.grad, -0.5 * 2 * x.detach())


def test_purifier_loss_is_the_scaled_terms_and_an_unknown_form_one_error() -> None:
    torch.manual_seed(0)
    names = ("discriminative_logits", "raw_logits", "kept_pooled", "normalized_pooled")
    terms = {name: torch.randn(6, 4).bfloat16() for name in names}
    found = Purification(scale=0.1)(inputs(**terms))
    a, b, kept, normalized = (terms[name].float() for name in names)
    torch.testing.assert_close(found["purifier_e"], 0.1 * purified_entropy(a, b))
    torch.testing.assert_close(found["purifier_r"], 0.1 * purified_relation(kept, normalized, Y, 3))
    assert not Purification().applies(inputs())
    with pytest.raises(ConfigError, match="paper, released"):
        Purification(form="eq10")
