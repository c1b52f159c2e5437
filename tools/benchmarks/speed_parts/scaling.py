"""How cost grows with images and identities, up to the real sizes of all three data sets.

Equal numbers in the column "per second" mean linear growth: in training images, and in the query-gallery pairs of all
trials of a protocol.
"""

from collections.abc import Callable
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

from speed_parts.measure import Subject
from speed_parts.scoring import real_test_set
from speed_parts.sizes import size
from speed_parts.trees import LLCM_TRAINING, SYSU_TRAINING, llcm_training, regdb_names, sysu_training
from vireid_plugins.data.datasets import LLCM, SYSUMM01, RegDB
from vireid_plugins.data.samplers import CrossModalityIdentitySampler
from vireid_plugins.data.torch_datasets import TrainImages
from vireid_plugins.evaluation.evaluate import score
from vireid_plugins.evaluation.plan import EvaluationPlan
from vireid_plugins.evaluation.protocols import PROTOCOLS

SHARES = size((0.25, 0.5, 1.0), (0.06, 0.08, 0.1))
# The function that writes the names of a share of the training set, the class that reads them, and the number of images
# of the whole set.
SETS: dict[str, tuple[Callable[[Path, float], None], Callable[[str], Any], int]] = {
    "SYSU-MM01": (sysu_training, lambda root: SYSUMM01(root=root), sum(SYSU_TRAINING.values())),
    "RegDB": (regdb_names, lambda root: RegDB(root=root, split=1), 4120),
    "LLCM": (llcm_training, lambda root: LLCM(root=root), sum(LLCM_TRAINING.values())),
}
# Scored protocol, queries x gallery x trials of the whole set.
SCORED = {"sysu/official/all/1shot": 3803 * 301 * 10, "llcm/i2v": 7166 * 484 * 10, "regdb/v2i": 2060 * 2060}


def _reading(name: str, share: float, folder: Path, device: str) -> Callable[[], object]:
    """Read a training set's lists and lay out the batches of one epoch."""
    write, read, _ = SETS[name]
    target = folder / f"training {share}" / name
    if not target.is_dir():
        write(target, share)

    def run() -> None:
        images = TrainImages([read(str(target))], None, (288, 144), "bilinear")
        sampler = CrossModalityIdentitySampler(
            images.targets, images.modalities, identities_per_batch=8, instances=4, seed=0
        )
        for _ in islice(sampler, sampler.steps):
            pass

    return run


def _scoring(name: str, share: float, folder: Path, device: str) -> Callable[[], object]:
    protocol = PROTOCOLS[name]
    dataset, features, paths = real_test_set(folder, protocol.dataset, share)
    assert all(len(rows) and len(columns) for rows, columns in EvaluationPlan(dataset, [protocol]).trials(protocol))
    return lambda: score(features, paths, EvaluationPlan(dataset, [protocol]), device=device)


def _subjects() -> list[Subject]:
    found = []
    for name, (_, _, images) in SETS.items():
        for share in SHARES:
            count = round(share * images)
            reading = partial(_reading, name, share)
            found.append(Subject(f"lists and an epoch's batches of {name}", f"{count:,} images", reading, items=count))
    for name, pairs in SCORED.items():
        for share in SHARES:
            way, scoring = f"{share:.0%} of the identities", partial(_scoring, name, share)
            found.append(Subject(f"scoring, {name}", way, scoring, items=round(share**2 * pairs)))
    return found


SUBJECTS = _subjects()
