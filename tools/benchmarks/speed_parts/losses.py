"""Every loss on the batch of its paper, forward and backward: this package's form against loops over images."""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from reference.inputs import random_inputs
from reference.losses import NAIVE

from speed_parts.measure import Subject
from speed_parts.sizes import size
from vireid_plugins.config import config_path, get_cfg
from vireid_plugins.modeling.losses import LOSS_REGISTRY

# The configuration of each loss, for its batch and hyperparameters.
CONFIGS = {
    "LabelSmoothCE": "wrim", "HardTriplet": "wrim", "CMKIC": "wrim", "WeightedTriplet": "agw",
    "SquaredDifferenceTriplet": "caj", "HeteroCenter": "agw", "QCT": "mscm", "ICG": "icre", "CPM": "deen",
    "Orthogonality": "deen", "TGSA": "idkl", "CSA": "idkl", "MDR": "idkl", "Purification": "idkl",
    "ModalityHeads": "idkl", "CenterCluster": "mpanet", "SpecificCE": "mpanet", "MutualTeaching": "mpanet",
    "PatternSeparation": "mpanet", "PartDiversity": "saai", "ModalityTriplet": "pmt", "MSEL": "pmt", "DCL": "pmt",
}  # fmt: skip
WIDTH, CLASSES = size((2048, 395), (16, 20))


def _setting(name: str) -> tuple[Any, tuple[int, int, tuple[int, int]]]:
    """Return a loss with the hyperparameters of its configuration, and P, K and views of its batch."""
    cfg = get_cfg()
    cfg.merge_from_file(config_path(f"SYSU/{CONFIGS[name]}.yml"))
    loss = LOSS_REGISTRY.get(name).from_config(cfg)
    loss.on = ()
    instances = cfg.DATALOADER.NUM_INSTANCE
    views = (len(cfg.INPUT.VIEWS.VISIBLE), len(cfg.INPUT.VIEWS.INFRARED))
    identities = cfg.SOLVER.IMS_PER_BATCH // (2 * instances)
    return loss, (size(identities, 2), size(instances, 2), views)


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
