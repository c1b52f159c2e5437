"""RLE's part network and training against numbers of its public code (tests/fixtures/rle_salt5.npz)."""

from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from part_methods import PLAIN, RS, Fixture, images_of, network, tame
from recipes import config
from released import Training, filled, shapes

from vireid_plugins.engine.hooks.lr_schedule import build_lr_scheduler
from vireid_plugins.modeling.heads import TestFeature
from vireid_plugins.modeling.heads.branch_head import as_branch

SIZE = (96, 48)
# Our names of the losses -> those of the released terms.
TERMS = {
    "label_smooth_ce": "id_global",
    "hard_triplet": "tri_global",
    "parts_label_smooth_ce": "id_parts",
    "parts_hard_triplet": "tri_parts",
}
# The network in the brackets: the layout and the configuration of a data set.
SETS = {"sysu": ("rle", "SYSU/rle.yml"), "regdb": ("rle_regdb", "RegDB/rle.yml")}


@pytest.fixture(scope="module")
def released() -> Fixture:
    return Fixture("rle_salt5")


@pytest.mark.parametrize("dataset", SETS)
def test_network_equals_released_features(released: Fixture, dataset: str) -> None:
    layout, _ = SETS[dataset]
    weights = filled(layout, shapes(layout, 10), released.salt, tame)
    model: Any = network(layout, weights, SIZE)
    images = images_of(released.salt, 4, SIZE)
    expected = released.group(f"net_{dataset}")
    for number, modality in enumerate(("visible", "infrared")):
        modalities = torch.full((4,), number)
        with torch.no_grad():
            maps = model.extract(images, modalities, None)
            pairs = [model.heads[name].pooled_and_neck(part) for name, part in model._parts(maps).items()]
            found = model.embed(maps, modalities)
        for kind, features in zip(("pool", "neck"), zip(*pairs, strict=True), strict=True):
            vector = F.normalize(torch.cat(features, dim=1))
            np.testing.assert_allclose(vector, expected[f"{modality}_{kind}"], rtol=1e-12, atol=1e-12)
        # From infrared to visible on RegDB the weights are 1 and 0.
        alone = TestFeature(pooled=1.0, neck=0.0).joined(*(torch.cat(part, dim=1) for part in zip(*pairs, strict=True)))
        np.testing.assert_allclose(alone, expected[f"{modality}_pool"], rtol=1e-12, atol=1e-12)
        # What is compared: their cosines, weighted.
        share = model.test_feature.neck
        wanted = sum(
            weight * expected[f"{modality}_{kind}"] @ expected[f"{modality}_{kind}"].T
            for weight, kind in ((1 - share, "pool"), (share, "neck"))
        )
        np.testing.assert_allclose(found @ found.T, wanted, rtol=1e-11)


def test_schedule_equals_released_rates_of_heads(released: Fixture) -> None:
    cfg = config("SYSU/rle.yml")
    heads = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=cfg.SOLVER.BASE_LR * cfg.SOLVER.HEADS_LR_FACTOR)
    schedule = build_lr_scheduler(cfg, heads, 1)["lr_sched"]
    rates = []
    for _ in range(cfg.SOLVER.MAX_EPOCH):
        rates.append(schedule.get_last_lr()[0])
        heads.step()
        schedule.step()
    np.testing.assert_allclose(rates, released.arrays["net/lr_heads_by_epoch"], rtol=1e-12)


def batch_of(seeds: int, step: int) -> dict[str, Any]:
    """The batch of a step: four identities of two visible and two infrared images each."""
    drawn = [RS(seeds + seed + 10 * step).standard_normal((8, 3, *SIZE)) for seed in (5000, 5001)]
    chosen = np.repeat(RS(seeds + 6000 + step).choice(10, 4, replace=False), 2)
    return {
        "images": torch.from_numpy(np.concatenate(drawn)),
        "targets": torch.from_numpy(np.tile(chosen, 2)),
        "modalities": torch.arange(2).repeat_interleave(8),
        "views": torch.zeros(16, dtype=torch.long),
    }


def assert_training(released: Fixture, dataset: str, steps: int | None = None) -> None:
    """Take steps of a training group and compare terms and gradients, and after all of them the weights."""
    layout, config = SETS[dataset]
    expected = released.group(f"train_{dataset}_f64")
    rates = expected["lr_heads"]
    # The released rates change with the epoch; each epoch has so many steps here.
    per_epoch = int((rates == rates[0]).sum())
    weights = filled(layout, shapes(layout, 10), released.salt, tame)
    training = Training(config, layout, weights, SIZE, PLAIN, iters_per_epoch=per_epoch)
    whole: list[Any] = []
    training.model.heads["global"].register_forward_hook(lambda *given: whole.append(as_branch(given[-1]).pooled))
    keys = expected["keys"].tolist()
    for step in range(len(rates) if steps is None else steps):
        np.testing.assert_allclose(training.rate("classifierg.weight"), rates[step], rtol=1e-12)
        np.testing.assert_allclose(training.rate("base_resnet.base.layer1.0.conv1.weight"), rates[step] / 10)
        losses = training.step(batch_of(released.seeds, step))
        assert set(losses) == set(TERMS)
        rtol = 1e-11 if step == 0 else 1e-9
        for ours, name in TERMS.items():
            np.testing.assert_allclose(losses[ours], expected[name][step], rtol=rtol, err_msg=f"{ours} at step {step}")
        np.testing.assert_allclose(sum(losses.values()), expected["total"][step], rtol=rtol)
        norm = whole[step].detach().norm(dim=1).mean()
        np.testing.assert_allclose(norm, expected["feat_norm"][step], rtol=rtol)
        gradients = [training.gradient(key) for key in keys]
        norm = np.sqrt(np.nansum(np.square(gradients)))
        np.testing.assert_allclose(norm, expected["grad_norm"][step], rtol=1e-9)
        if step == 0:
            # Of copies that the code base never uses there are no weights here.
            wanted = np.where(expected["grad0"] < 0, np.nan, expected["grad0"])
            np.testing.assert_allclose(gradients, wanted, rtol=1e-9, atol=1e-12)
    if steps is not None:
        return
    used = [number for number, key in enumerate(keys) if key in training.used]
    norms = np.array([training.norms(keys[number]) for number in used]).T
    for name, values in zip(("start", "end", "moved"), norms, strict=True):
        np.testing.assert_allclose(values, expected[name][used], rtol=1e-9, atol=1e-12, err_msg=name)


def test_training_equals_released_first_step(released: Fixture) -> None:
    assert_training(released, "regdb", 1)


@pytest.mark.slow
@pytest.mark.parametrize("dataset", SETS)
def test_training_equals_released_steps(released: Fixture, dataset: str) -> None:
    assert_training(released, dataset)
