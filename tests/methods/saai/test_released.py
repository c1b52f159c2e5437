"""SAAI's parts, features and first steps are those of the public code."""

from collections.abc import Iterator
from contextlib import nullcontext
from dataclasses import dataclass, field

import numpy as np
import pytest
import torch
from double import quick
from part_methods import (
    PLAIN,
    Fixture,
    assert_center_cluster,
    assert_teaching,
    assert_trajectory,
    images_of,
    network,
    rates_of,
    tame,
    weights_of,
)
from released import Training

from vireid_plugins.modeling.heads.teachers import update_share

FILE = "saai_salt5"
TERMS = {
    "label_smooth_ce": "ce",
    "specific_ce_visible": "ce-v",
    "specific_ce_infrared": "ce-i",
    "mutual_teaching": "soft",
    "center_cluster": "cs",
    "part_diversity": "dp",
}
# The stored term is half of the l2 form, and the whole cos form.
SCALES = {"part_diversity": 0.5}


@pytest.fixture(scope="module")
def released() -> Fixture:
    return Fixture(FILE)


@pytest.fixture(autouse=True)
def quick_convolutions(request: pytest.FixtureRequest) -> Iterator[None]:
    with nullcontext() if request.node.get_closest_marker("slow") else quick():
        yield


def test_center_cluster_with_a_tolerance_equals_released_value_and_gradient(released: Fixture) -> None:
    assert_center_cluster(released.group("loss"), "cs", 0.01)


def test_mutual_teaching_equals_released_soft_cross_entropy_and_gradient(released: Fixture) -> None:
    assert_teaching(released, "soft", "soft_ce")


def test_update_share_equals_released_rate_of_all_epochs(released: Fixture) -> None:
    expected = released.arrays["update_rate_by_epoch"]
    found = [update_share(0.02, epoch) for epoch in range(1, len(expected) + 1)]
    np.testing.assert_allclose(found, expected, rtol=1e-12)


def test_schedule_equals_released_rates_of_all_epochs(released: Fixture) -> None:
    np.testing.assert_allclose(rates_of("SYSU/saai.yml"), released.arrays["lr_by_epoch"], rtol=1e-12)


@pytest.mark.parametrize(
    ("size", "count"), [((96, 48), 4), pytest.param((288, 144), 2, marks=pytest.mark.slow)], ids=["small", "full"]
)
def test_network_equals_released_features_of_each_modality(
    released: Fixture, size: tuple[int, int], count: int
) -> None:
    expected = released.group(f"features_{size[0]}x{size[1]}")
    tolerance = 1e-12 if expected["visible_pool"].dtype == np.float64 else 1e-5
    model = network("saai", weights_of("saai", released.salt, size, 10), size)
    images = images_of(released.salt, count, size)
    with torch.no_grad():
        maps = model.extract(images, None, None)
        f, masks = model.pooled(maps["stage4"])
        necks = [model.embed(maps, torch.full((count,), modality)) for modality in (0, 1)]
    named = {"visible_pool": f, "visible_masks": masks, "visible_neck": necks[0], "infrared_neck": necks[1]}
    for name, found in named.items():
        wanted = expected[name]
        np.testing.assert_allclose(found, wanted, rtol=tolerance, atol=tolerance * np.abs(wanted).max())


@dataclass(frozen=True)
class Case:
    """A group: what differs in the configuration, in keys and images, and the scale of the diversity's term."""

    group: str
    overrides: tuple[str, ...] = ()
    without: tuple[str, ...] = ()
    config: str = "SYSU/saai.yml"
    layout: str = "saai"
    size: tuple[int, int] = (96, 48)
    identities: int = 4
    scales: dict[str, float] = field(default_factory=lambda: dict(SCALES))


COS = ("MODEL.LOSSES.PART_DIVERSITY.FORM", "cos", "MODEL.LOSSES.PART_DIVERSITY.SCALE", "0.5")
CASES = [
    Case("step0_cos_f64", COS),
    Case("step0_mam1_f64", ("MODEL.ATTENTION.STAGE3", "[]"), ("backbone.MAM3",)),
    Case("full_288x144_f64", size=(288, 144), identities=2),
    Case("ema_f64"),
    Case("margin4_f64", ("MODEL.LOSSES.CENTER_CLUSTER.MARGIN", "4.0")),
    Case("regdb_f64", (), ("backbone.MAM",), "RegDB/saai.yml", "saai_regdb"),
    Case("sysu_f64"),
    Case("sysu_f64_lr100th"),
    Case("sysu_f32_lr100th"),
]


@pytest.mark.parametrize(
    "case",
    [
        pytest.param(case, id=case.group, marks=[] if case.group.startswith("margin") else pytest.mark.slow)
        for case in CASES
    ],
)
def test_saai_equals_released_trajectory(released: Fixture, case: Case) -> None:
    single = "f32" in case.group
    weights = weights_of(case.layout, released.salt, case.size, 10, tame, case.without)
    dtype = torch.float32 if single else torch.float64
    overrides = [*PLAIN, *case.overrides]
    training = Training(case.config, case.layout, weights, case.size, overrides, dtype=dtype)
    agreement = (1e-5, 2e-4) if single else (1e-11, 1e-9)
    assert_trajectory(
        training,
        released,
        case.group,
        TERMS,
        size=case.size,
        identities=case.identities,
        scales=case.scales,
        sums={"id": list(TERMS)[:4]},
        agreement=agreement,
    )
