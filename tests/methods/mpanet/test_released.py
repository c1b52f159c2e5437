"""MPANet's parts, features and first steps are those of the public code."""

from collections.abc import Iterator
from contextlib import nullcontext
from dataclasses import dataclass, field

import numpy as np
import pytest
import torch
from double import quick
from part_methods import PLAIN, RS, Fixture, assert_trajectory, images_of, network, tame, weights_of
from released import Training

from vireid_plugins.config import config_path, get_cfg
from vireid_plugins.engine.hooks.lr_schedule import build_lr_scheduler
from vireid_plugins.layers.centers import centers
from vireid_plugins.modeling.heads.teachers import update_share
from vireid_plugins.modeling.losses import center_cluster, mutual_teaching
from vireid_plugins.modeling.losses.center_cluster import center_pull, center_push

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
    expected = released.group("loss")
    x, y = torch.from_numpy(expected["x"]).requires_grad_(), torch.from_numpy(expected["y"])
    value = center_cluster(x, y, margin=0.7)
    value.backward()
    np.testing.assert_allclose(value.item(), expected["cc"], rtol=1e-12)
    np.testing.assert_allclose(x.grad, expected["cc_grad"], rtol=1e-12, atol=1e-12)
    center = centers(x, y, y)
    np.testing.assert_allclose(center_pull(x, center, 0.0).item(), expected["cc_pull"], rtol=1e-12)
    np.testing.assert_allclose(center_push(center, y, 0.7).item(), expected["cc_push"], rtol=1e-12)


def test_mutual_teaching_equals_released_divergence_and_gradient(released: Fixture) -> None:
    expected = released.group("mutual")
    student, teacher = (torch.from_numpy(2 * RS(seed).standard_normal((16, 10))) for seed in (7305, 7405))
    student.requires_grad_()
    value = mutual_teaching(student, teacher, "kl")
    value.backward()
    np.testing.assert_allclose(value.item(), expected["KL"], rtol=1e-12)
    np.testing.assert_allclose(student.grad, expected["grad"], rtol=1e-12, atol=1e-12)


def test_update_share_equals_released_rate_of_all_epochs(released: Fixture) -> None:
    expected = released.arrays["update_rate_by_epoch"]
    found = [update_share(0.2, epoch) for epoch in range(1, len(expected) + 1)]
    np.testing.assert_allclose(found, expected, rtol=1e-12)


@pytest.mark.parametrize("data", ["SYSU", "RegDB"])
def test_schedule_equals_released_rates_of_all_epochs(released: Fixture, data: str) -> None:
    cfg = get_cfg()
    cfg.merge_from_file(config_path(f"{data}/mpanet.yml"))
    optimizer = torch.optim.Adam([torch.nn.Parameter(torch.zeros(1))], lr=cfg.SOLVER.BASE_LR)
    schedule = build_lr_scheduler(cfg, optimizer, iters_per_epoch=1)["lr_sched"]
    found = []
    for _ in range(cfg.SOLVER.MAX_EPOCH):
        found.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        schedule.step()
    np.testing.assert_allclose(found, released.arrays[f"lr_by_epoch_{data.lower()}"], rtol=1e-12)


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
    assert_trajectory(
        training, released.group(case.group), case.terms, size=(96, 48), scales=SCALES, agreement=agreement
    )
