"""MPANet's parts, features and first steps are those of the public code."""

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

FILE = "mpanet_salt5"
TERMS = {
    "pattern_separation": "p-reg",
    "center_cluster": "cc",
    "label_smooth_ce": "ce",
    "specific_ce_visible": "ce-v",
    "specific_ce_infrared": "ce-i",
    "mutual_teaching": "KL",
}
SCALES = {"pattern_separation": 0.5, "mutual_teaching": 2.5}


@pytest.fixture(scope="module")
def released() -> Fixture:
    return Fixture(FILE)


@pytest.fixture(autouse=True)
def quick_convolutions(request: pytest.FixtureRequest) -> Iterator[None]:
    with nullcontext() if request.node.get_closest_marker("slow") else quick():
        yield


def test_center_cluster_equals_released_value_and_gradient(released: Fixture) -> None:
    assert_center_cluster(released.group("loss"), "cc", 0.0)


def test_mutual_teaching_equals_released_divergence_and_gradient(released: Fixture) -> None:
    assert_teaching(released, "KL", "kl")


def test_update_share_equals_released_rate_of_all_epochs(released: Fixture) -> None:
    expected = released.arrays["update_rate_by_epoch"]
    found = [update_share(0.2, epoch) for epoch in range(1, len(expected) + 1)]
    np.testing.assert_allclose(found, expected, rtol=1e-12)


@pytest.mark.parametrize("data", ["SYSU", "RegDB"])
def test_schedule_equals_released_rates_of_all_epochs(released: Fixture, data: str) -> None:
    np.testing.assert_allclose(
        rates_of(f"{data}/mpanet.yml"), released.arrays[f"lr_by_epoch_{data.lower()}"], rtol=1e-12
    )


@pytest.mark.parametrize(
    ("size", "count"), [((96, 48), 4), pytest.param((384, 128), 2, marks=pytest.mark.slow)], ids=["small", "full"]
)
def test_network_equals_released_features(released: Fixture, size: tuple[int, int], count: int) -> None:
    expected = released.group(f"features_{size[0]}x{size[1]}")
    tolerance = 1e-12 if expected["all_pool"].dtype == np.float64 else 1e-5
    model = network("mpanet", weights_of("mpanet", released.salt, size, 10), size)
    images = images_of(released.salt, count, size)
    with torch.no_grad():
        f, masks = model.pooled(model.extract(images, None, None)["stage4"])
        z = model.embed(model.extract(images, None, None), None)
    for found, name in ((f, "pool"), (z, "neck"), (masks, "masks")):
        wanted = expected[f"all_{name}"]
        np.testing.assert_allclose(found, wanted, rtol=tolerance, atol=tolerance * np.abs(wanted).max())


@dataclass(frozen=True)
class Case:
    """A group: what differs in the configuration, in keys and terms, and the width of f where it does."""

    group: str
    overrides: tuple[str, ...] = ()
    without: tuple[str, ...] = ()
    terms: dict[str, str] = field(default_factory=lambda: dict(TERMS))
    width: int = 0


NO_MUTUAL = ["LabelSmoothCE", "CenterCluster", "PatternSeparation"]
NO_PATTERN = ["LabelSmoothCE", "CenterCluster", "SpecificCE", "MutualTeaching"]
CASES = [
    Case(
        "step0_no_mutual_f64",
        ("MODEL.MPANET.MUTUAL", "False", "MODEL.LOSSES.NAME", str(NO_MUTUAL)),
        ("visible_classifier", "infrared_classifier"),
        {ours: name for ours, name in TERMS.items() if name in ("p-reg", "cc", "ce")},
    ),
    Case(
        "step0_no_pattern_f64",
        ("MODEL.MPANET.PARTS", "0", "MODEL.LOSSES.NAME", str(NO_PATTERN)),
        ("spatial_attention",),
        {ours: name for ours, name in TERMS.items() if name != "p-reg"},
        2048,
    ),
    Case("step0_mam0_f64", ("MODEL.ATTENTION.STAGE3", "[]", "MODEL.ATTENTION.STAGE4", "[]"), ("backbone.MAM",)),
    Case("step0_mam1_f64", ("MODEL.ATTENTION.STAGE3", "[]"), ("backbone.MAM3",)),
    Case("ema_f64"),
    Case("margin3.2_f64", ("MODEL.LOSSES.CENTER_CLUSTER.MARGIN", "3.2")),
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
def test_mpanet_equals_released_trajectory(released: Fixture, case: Case) -> None:
    single = "f32" in case.group
    training = Training(
        "SYSU/mpanet.yml",
        "mpanet",
        weights_of("mpanet", released.salt, (96, 48), 10, tame, case.without, case.width),
        (96, 48),
        [*PLAIN, *case.overrides],
        dtype=torch.float32 if single else torch.float64,
    )
    agreement = (1e-5, 2e-4) if single else (1e-11, 1e-9)
    assert_trajectory(training, released, case.group, case.terms, size=(96, 48), scales=SCALES, agreement=agreement)
