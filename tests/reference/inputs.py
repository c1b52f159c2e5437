"""Random inputs for every loss of the package."""

from dataclasses import dataclass

import torch
from torch import Tensor

from vireid_plugins.methods.deen.losses import ExpansionInputs
from vireid_plugins.methods.idkl.losses import IDKLInputs, PurifierTerms
from vireid_plugins.modeling.loss_inputs import Branch, LossInputs
from vireid_plugins.modeling.losses.parts import PartInputs

# Width of CMKIC's projection.
PROJECTED = 128
# Of part masks.
PARTS, POSITIONS = 4, 6


@dataclass(frozen=True)
class EverythingInputs(IDKLInputs, ExpansionInputs, PartInputs):
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

    def leaf(*shape: int) -> Tensor:
        leaves.append(torch.randn(*shape, generator=rng).to(device).requires_grad_())
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
        masks=leaf(rows, PARTS, POSITIONS),
        own_logits=leaf(rows, classes),
        teacher_logits=leaf(rows, classes),
    )
    return inputs, leaves
