"""Random inputs for every loss of the package."""

from dataclasses import dataclass

import torch
from torch import Tensor

from vireid_plugins.methods.deen.losses import ExpansionInputs
from vireid_plugins.methods.idkl.losses import IDKLInputs, PurifierTerms
from vireid_plugins.modeling.loss_inputs import Branch, LossInputs

# Width of CMKIC's projection.
PROJECTED = 128


@dataclass(frozen=True)
class EverythingInputs(IDKLInputs, ExpansionInputs):
    """What every loss finds something in."""


def random_inputs(
    identities: int,
    instances: int,
    views: tuple[int, int],
    width: int,
    classes: int,
    device: str = "cpu",
    seed: int = 0,
) -> tuple[LossInputs, list[Tensor]]:
    """Return inputs that every loss finds something in, and the tensors in it that take a gradient.

    Args:
        identities: P.
        instances: K.
        views: of a visible and of an infrared image.
        width: D.
        classes: N.
        device: where.
        seed: of the numbers.
    """
    blocks = [(modality, view) for modality in (0, 1) for view in range(views[modality])]
    rows = identities * instances * len(blocks)
    rng = torch.Generator().manual_seed(seed)
    leaves: list[Tensor] = []

    def leaf(count: int, columns: int) -> Tensor:
        leaves.append(torch.randn(count, columns, generator=rng).to(device).requires_grad_())
        return leaves[-1]

    shared = Branch(leaf(rows, width), leaf(rows, width), leaf(rows, classes))
    modalities, numbers = torch.tensor(blocks).T.repeat_interleave(identities * instances, 1)
    targets = torch.arange(identities).repeat_interleave(instances).repeat(len(blocks)).to(device)
    inputs = EverythingInputs(
        {"sh": shared},
        targets,
        modalities,
        numbers,
        leaf(rows, PROJECTED),
        specific=Branch(leaf(rows, width), leaf(rows, width), leaf(rows, classes)),
        purifier=PurifierTerms(
            discriminative_logits=leaf(rows, classes),
            raw_logits=leaf(rows, classes),
            kept_pooled=leaf(rows, width),
            normalized_pooled=leaf(rows, width),
        ),
        confusers=[leaf(rows, 2), leaf(rows, 2)],
        discriminators=[leaf(rows, 2)],
        expanded=leaf(3 * rows, width),
    )
    return inputs, leaves
