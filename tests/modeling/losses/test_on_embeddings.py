"""`loss(embeddings, labels, modalities)` equals `compute` on the inputs of a training."""

import pytest
import torch
from helpers import small_cfg

from vireid_plugins.config.check import registered
from vireid_plugins.errors import ConfigError
from vireid_plugins.methods.deen.losses import CPM
from vireid_plugins.modeling.loss_inputs import Branch, LossInputs
from vireid_plugins.modeling.losses import LOSS_REGISTRY, HardTriplet, HeteroCenter, LabelSmoothCE, hard_triplet

LABELS = torch.tensor([0, 0, 1, 1, 2, 2] * 2)
MODALITIES = torch.tensor([0] * 6 + [1] * 6)
EMBEDDINGS = torch.randn(12, 8, generator=torch.Generator().manual_seed(3))
# What the others need.
NEED = {
    "LabelSmoothCE": "logits",
    "CrossEntropyLoss": "logits",
    "CPM": "DEEN's expanded features",
    "Orthogonality": "DEEN's expanded features",
    "TGSA": "IDKL's shared and specific branches",
    "CSA": "IDKL's shared and specific branches",
    "MDR": "IDKL's shared and specific branches",
    "Purification": "what IDKL's purifier computes",
    "ModalityHeads": "logits of IDKL's modality heads",
    "MemoryContrast": "memories of clusters",
    "MutualTeaching": "classifiers of each modality",
    "SpecificCE": "classifiers of each modality",
    "PartDiversity": "part masks",
    "PatternSeparation": "part masks",
}
OURS = [name for name in registered(LOSS_REGISTRY) if LOSS_REGISTRY.get(name).__module__.startswith("vireid_plugins")]


def built(name: str) -> object:
    return LOSS_REGISTRY.get(name).from_config(small_cfg("SYSU/one_stream.yml"))


def inputs() -> LossInputs:
    branch = Branch(EMBEDDINGS, EMBEDDINGS, torch.randn(12, 3))
    return LossInputs({"global": branch}, LABELS, MODALITIES, torch.zeros(12), projection=EMBEDDINGS)


@pytest.mark.parametrize("name", OURS)
def test_every_loss_takes_embeddings_or_says_what_it_needs(name: str) -> None:
    loss = built(name)
    if name in NEED:
        with pytest.raises(ConfigError, match=f"{name} needs {NEED[name]}.*not embeddings alone; train with it"):
            loss(EMBEDDINGS, LABELS, MODALITIES)
        return
    found = loss(EMBEDDINGS, LABELS, MODALITIES)
    assert found.ndim == 0
    value = loss.compute(inputs())
    terms = list(value.values()) if isinstance(value, dict) else [value]
    assert found.item() == pytest.approx(loss.scale * sum(term.item() for term in terms), rel=1e-5)


def test_rows_may_be_in_any_order_and_take_gradients() -> None:
    order = torch.tensor([7, 0, 3, 11, 4, 6, 1, 9, 2, 10, 5, 8])
    embeddings = EMBEDDINGS[order].clone().requires_grad_()
    for loss in (HardTriplet(margin=0.5), HeteroCenter()):
        mixed = loss(embeddings, LABELS[order], MODALITIES[order])
        assert mixed.item() == pytest.approx(loss(EMBEDDINGS, LABELS, MODALITIES).item(), rel=1e-5)
    mixed.backward()
    assert embeddings.grad.abs().sum(1).gt(0).all()


def test_lists_named_arguments_and_scale_are_taken() -> None:
    expected = hard_triplet(EMBEDDINGS, LABELS, 0.3).item()
    loss = HardTriplet(scale=2.0)
    assert loss(EMBEDDINGS, LABELS.tolist(), MODALITIES.tolist()).item() == pytest.approx(2 * expected)
    assert loss(EMBEDDINGS, labels=LABELS, modalities=MODALITIES).item() == pytest.approx(2 * expected)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ((EMBEDDINGS[0], LABELS, MODALITIES), r"takes embeddings \(B, D\), labels \(B,\).*; got \(8,\), \(12,\)"),
        ((EMBEDDINGS, LABELS[1:], MODALITIES), r"got \(12, 8\), \(11,\) and \(12,\)"),
        ((EMBEDDINGS, LABELS[1:], MODALITIES[1:]), r"got \(12, 8\), \(11,\) and \(11,\)"),
        ((EMBEDDINGS, LABELS, MODALITIES[1:]), r"got \(12, 8\), \(12,\) and \(11,\)"),
        ((EMBEDDINGS[None], LABELS[:1], MODALITIES[:1]), r"got \(1, 12, 8\), \(1,\) and \(1,\)"),
        ((EMBEDDINGS, LABELS, MODALITIES + 1), r"modalities must be 0 \(visible\) or 1 \(infrared\); got \[1, 2\]"),
    ],
)
def test_embeddings_that_do_not_fit_are_one_error(arguments: tuple[torch.Tensor, ...], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        HardTriplet()(*arguments)


def test_losses_of_a_branch_that_is_not_there_and_of_a_method_say_so() -> None:
    with pytest.raises(ConfigError, match="HardTriplet needs the branches that `on` names"):
        HardTriplet(on=["part"])(EMBEDDINGS, LABELS, MODALITIES)
    with pytest.raises(ConfigError, match=r"CPM\.compute with a LossInputs that has them"):
        CPM()(EMBEDDINGS, LABELS, MODALITIES)
    with pytest.raises(ConfigError, match="LabelSmoothCE needs logits"):
        LabelSmoothCE()(EMBEDDINGS, LABELS, MODALITIES)
