"""Every loss at the batch of its paper, forward and backward: this package's form beside loops over images."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from vireid_plugins.benchmark.measure import Subject
from vireid_plugins.benchmark.naive_losses import NAIVE
from vireid_plugins.config import config_path, get_cfg
from vireid_plugins.methods.deen.losses import ExpansionInputs
from vireid_plugins.methods.idkl.losses import IDKLInputs, PurifierTerms
from vireid_plugins.modeling.loss_inputs import Branch, LossInputs
from vireid_plugins.modeling.losses import LOSS_REGISTRY

# Which configuration a loss is taken from, for its batch and hyper-parameters.
CONFIGS = {
    "LabelSmoothCE": "wrim", "HardTriplet": "wrim", "CMKIC": "wrim", "WeightedTriplet": "agw",
    "SquaredDifferenceTriplet": "caj", "HeteroCenter": "agw", "QCT": "mscm", "ICG": "icre", "CPM": "deen",
    "Orthogonality": "deen", "TGSA": "idkl", "CSA": "idkl", "MDR": "idkl", "Purification": "idkl",
    "ModalityHeads": "idkl",
}  # fmt: skip
WIDTH, PROJECTED, CLASSES = 2048, 128, 395


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


def _setting(name: str) -> tuple[Any, tuple[int, int, tuple[int, int]]]:
    """Return a loss with its configuration's hyper-parameters, and P, K and views of its batch."""
    cfg = get_cfg()
    cfg.merge_from_file(config_path(f"SYSU/{CONFIGS[name]}.yml"))
    loss = LOSS_REGISTRY.get(name).from_config(cfg)
    loss.on = ()
    instances = cfg.DATALOADER.NUM_INSTANCE
    views = (len(cfg.INPUT.VIEWS.VISIBLE), len(cfg.INPUT.VIEWS.INFRARED))
    return loss, (cfg.SOLVER.IMS_PER_BATCH // (2 * instances), instances, views)


def _run(name: str, naive: bool, folder: Path, device: str) -> Callable[[], object]:
    loss, batch = _setting(name)
    inputs, leaves = random_inputs(*batch, WIDTH, CLASSES, device)

    def step() -> None:
        for leaf in leaves:
            leaf.grad = None
        value = loss.scale * NAIVE[name](loss, inputs) if naive else sum(loss(inputs).values())
        value.backward()

    return step


def _subjects(name: str) -> list[Subject]:
    _, (identities, instances, views) = _setting(name)
    rows = identities * instances * sum(views)
    task = f"{name}, {identities} identities, {rows} rows"
    return [
        Subject(task, "loops over images", partial(_run, name, True), slow=True),
        Subject(task, "this package", partial(_run, name, False)),
    ]


SUBJECTS = [subject for name in CONFIGS for subject in _subjects(name)]
