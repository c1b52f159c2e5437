"""Every loss at the batch of its paper, forward and backward: this package's form beside loops over images."""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from vireid_plugins.benchmark.measure import Subject
from vireid_plugins.benchmark.naive_losses import NAIVE
from vireid_plugins.config import config_path, get_cfg
from vireid_plugins.modeling.loss_inputs import Branch, Bundle
from vireid_plugins.modeling.losses import LOSS_REGISTRY

# Which configuration a loss is taken from, for its batch and hyper-parameters.
CONFIGS = {
    "LabelSmoothCE": "wrim", "HardTriplet": "wrim", "CMKIC": "wrim", "WeightedTriplet": "agw",
    "SquaredDifferenceTriplet": "caj", "HeteroCentre": "agw", "QCT": "mscm", "ICG": "icre", "CPM": "deen",
    "Orthogonality": "deen", "TGSA": "idkl", "CSA": "idkl", "MDR": "idkl", "Purifier": "idkl", "ModalityHeads": "idkl",
}  # fmt: skip
WIDTH, PROJECTED, CLASSES = 2048, 128, 395


def random_bundle(
    identities: int,
    instances: int,
    views: tuple[int, int],
    width: int,
    classes: int,
    device: str = "cpu",
    seed: int = 0,
) -> tuple[Bundle, list[Tensor]]:
    """Return a bundle that every loss finds something in, and the tensors in it that take a gradient.

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
    extra = {name: leaf(rows, width) for name in ("specific_pooled", "kept_pooled", "normalised_pooled")}
    extra |= {name: leaf(rows, classes) for name in ("specific_logits", "discriminative_logits", "raw_logits")}
    extra |= {name: leaf(rows, 2) for name in ("confuser0", "confuser1", "discriminator0")}
    extra["expanded"] = leaf(3 * rows, width)
    modalities, numbers = torch.tensor(blocks).T.repeat_interleave(identities * instances, 1)
    targets = torch.arange(identities).repeat_interleave(instances).repeat(len(blocks)).to(device)
    return Bundle({"sh": shared}, targets, modalities, numbers, leaf(rows, PROJECTED), extra), leaves


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
    bundle, leaves = random_bundle(*batch, WIDTH, CLASSES, device)

    def step() -> None:
        for leaf in leaves:
            leaf.grad = None
        value = loss.scale * NAIVE[name](loss, bundle) if naive else sum(loss(bundle).values())
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
