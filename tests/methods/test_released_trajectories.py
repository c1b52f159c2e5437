"""A few training steps of the shipped configurations' own objects are those of the public code, from given weights.

Network, losses, optimizer groups, schedule and step, in float64, on inputs by formula; the numbers of the public code
are in `tests/fixtures/training`. The ordinary run takes two steps of AGW, with its rate and momentum, and one of DEEN
for RegDB; `make test-all` takes all of all variants.
"""

from collections.abc import Iterable, Iterator
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
import torch
from double import quick
from released import FIXTURES, Shape, Training, filled, mscm_small, shapes
from torch import Tensor, nn

from vireid_plugins.config import config_path, get_cfg
from vireid_plugins.data.samplers import SAMPLER_REGISTRY
from vireid_plugins.engine.hooks.lr_schedule import build_lr_scheduler
from vireid_plugins.methods.mscm.losses import dual_center, negative_margin, quadruple_center, quadruple_center_triplet
from vireid_plugins.modeling import Branch

RS = np.random.RandomState
# The inputs are the network's own: pixels are taken as they are.
PLAIN = ["MODEL.PIXEL_MEAN", "[0.0, 0.0, 0.0]", "MODEL.PIXEL_STD", "[1.0, 1.0, 1.0]"]
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
# To how many digits two right implementations agree in float64. Gradients that are zero but for rounding are 1e-13.
AGREEMENT, ROUNDING = 1e-11, 1e-12
# Steps of MSCMNet multiply a difference by about ten: the last digit of the first weights is 7e-16 of the first loss
# and 1e-12 of the sixth, and what another order of sums differs by, 9e-16, is 1.7e-11 there.
MSCM_ROUNDING = 1e-15
# Gradients amplify the rounding of the steps before: outputs of all layers that are changed by 1e-15 of themselves, as
# another order of sums does, moved their norm by up to 7e-11 at step 4 and 7e-10 at step 5. These are four times that.
MSCM_GRADIENT_ROUNDING = (0, 1e-10, 1e-10, 1e-10, 3e-10, 3e-9)


@pytest.fixture(autouse=True)
def quick_convolutions(request: pytest.FixtureRequest) -> Iterator[None]:
    """For the ordinary run's few steps; over more of them, their rounding grows beyond the agreement of torch's own."""
    with nullcontext() if request.node.get_closest_marker("slow") else quick():
        yield


def stored(name: str) -> tuple[dict[str, np.ndarray], int, int]:
    """A trajectory, the salt of its weights and the seeds of its inputs, which some files hold."""
    with np.load(FIXTURES / "training" / f"{name}.npz") as file:
        fixture = dict(file)
    return fixture, int(fixture.get("salt", 5)), int(fixture.get("seeds", 0))


def assert_close(found: Any, expected: Any, rtol: float, atol: float = 0.0, what: str = "") -> None:
    np.testing.assert_allclose(found, expected, rtol=rtol, atol=atol, err_msg=what)


def without_dropout(model: nn.Module) -> None:
    for module in model.modules():
        if isinstance(module, nn.Dropout):
            module.p = 0.0


def columns(identities: np.ndarray, blocks: Iterable[tuple[int, int]]) -> dict[str, Tensor]:
    """Targets, modalities and views of blocks (modality, view) that all have the same rows of identities."""
    pairs = list(blocks)
    targets = torch.from_numpy(np.tile(identities, len(pairs)))
    by_row = torch.tensor(pairs).repeat_interleave(len(identities), 0)
    return {"targets": targets, "modalities": by_row[:, 0], "views": by_row[:, 1]}


def branches_of(training: Training) -> list[Branch]:
    """What the head returns at the steps to come."""
    found: list[Branch] = []
    training.model.heads["global"].register_forward_hook(lambda module, inputs, output: found.append(output))
    return found


# AGW, CAJ, DEEN.


@dataclass(frozen=True)
class Case:
    """A trajectory: file, variant, configuration, layout, the names of its terms, and how far it is followed.

    `first` and `later` are the agreements of terms at the first and at later steps.
    """

    fixture: str
    variant: str
    config: str
    layout: str
    terms: dict[str, str]
    steps: int
    first: float = AGREEMENT
    later: float = AGREEMENT


AGW = {"id": "label_smooth_ce", "tri": "weighted_triplet"}
CAJ = {"id": "label_smooth_ce", "tri": "squared_difference_triplet"}
DEEN = {"id": "label_smooth_ce", "tri": "hard_triplet", "cpm": "expansion_cpm", "ort": "expansion_orthogonality"}
# In float32 two right implementations part after a step.
SINGLE = {"first": 1e-5, "later": 1e-3}
ORDINARY = [
    Case("agw", "tame_f64", "SYSU/agw.yml", "agw", AGW, 2),
    Case("deen", "regdb_tame_f64", "RegDB/deen.yml", "deen_regdb", DEEN, 1),
]
WHOLE = [
    *(Case(**{**vars(case), "steps": 6}) for case in ORDINARY),
    Case("caj", "tame_f64", "SYSU/caj.yml", "agw", CAJ, 6),
    Case("deen", "tame_f64", "SYSU/deen.yml", "deen", DEEN, 6),
    Case("agw", "tame_lr001_f32", "SYSU/agw.yml", "agw", AGW, 6, **SINGLE),
    Case("caj", "tame_lr001_f32", "SYSU/caj.yml", "agw", CAJ, 6, **SINGLE),
    Case("deen", "tame_lr001_f32", "SYSU/deen.yml", "deen", DEEN, 6, **SINGLE),
]


def tame(key: str, shape: Shape) -> float:
    """The filling that does not damp relation blocks."""
    if key.startswith(("NL_", "MFA")):
        return 0.1 if key.endswith(".W.1.weight") else 1.0
    return 0.25 if key.endswith("bn3.weight") else 1.0


def two_modalities(case: Case, seeds: int, step: int, dtype: torch.dtype) -> dict[str, Any]:
    """The batch of AGW and DEEN, or of CAJ with its second visible view."""
    # Number of the formula, modality, view.
    blocks = [(0, 0, 0), (2, 0, 1), (1, 1, 0)] if case.fixture == "caj" else [(0, 0, 0), (1, 1, 0)]
    drawn = [RS(seeds + 5000 + 10 * step + block).standard_normal((8, 3, 96, 48)) for block, _, _ in blocks]
    identities = RS(seeds + 6000 + step).choice(10, 4, replace=False).repeat(2)
    images = torch.from_numpy(np.concatenate(drawn).astype(np.float32)).to(dtype)
    return {"images": images, **columns(identities, [(modality, view) for _, modality, view in blocks])}


@pytest.mark.parametrize(
    "case",
    [
        *(pytest.param(case, id=f"{case.layout}-{case.fixture}") for case in ORDINARY),
        *(pytest.param(case, id=f"{case.fixture}-{case.variant}", marks=pytest.mark.slow) for case in WHOLE),
    ],
)
def test_agw_caj_and_deen_equal_released_trajectory(case: Case) -> None:
    fixture, salt, seeds = stored(case.fixture)
    expected = {
        key.removeprefix(f"{case.variant}/"): value for key, value in fixture.items() if key.startswith(case.variant)
    }
    keys = fixture["keys_regdb" if case.layout == "deen_regdb" else "keys"].tolist()
    single = case.variant.endswith("f32")
    dtype = torch.float32 if single else torch.float64
    training = Training(
        case.config,
        case.layout,
        filled(case.layout, shapes(case.layout, 10), salt, tame),
        (96, 48),
        [*PLAIN, "MODEL.DEEN.DROPOUT", "0.0", *(["SOLVER.BASE_LR", "0.001"] if "lr001" in case.variant else [])],
        iters_per_epoch=2,
        dtype=dtype,
    )
    branches = branches_of(training)
    for step in range(case.steps):
        assert_close(training.rate("classifier.weight"), expected["lr_heads"][step], 1e-12)
        assert_close(training.rate("base_resnet.base.layer1.0.conv1.weight"), expected["lr_heads"][step] / 10, 1e-12)
        losses = training.step(two_modalities(case, seeds, step, dtype))
        assert set(losses) == set(case.terms.values())
        agreement = case.later if step else case.first
        for name, ours in case.terms.items():
            assert_close(losses[ours], expected[name][step], agreement, what=f"{name} at step {step}")
        assert_close(sum(losses.values()), expected["total"][step], agreement, what=f"total at step {step}")
        pooled = branches[step].pooled.detach().double().norm(dim=1).mean().item()
        assert_close(pooled, expected["feat_norm"][step], agreement, what=f"feat_norm at step {step}")
        if step == 0 and not single:
            found = [training.gradient(key) for key in keys]
            assert_close(found, expected["grad0"], AGREEMENT, ROUNDING, "gradients of the first step")
    starts, ends, moves = _norms(training, keys)
    used = [key in training.used for key in keys]
    assert_close(starts[used], expected["start"][used], AGREEMENT)
    # What we call an unused copy, the public code has not changed.
    assert not expected["moved"][np.logical_not(used)].any()
    if case.steps == 6 and not single:
        assert_close(ends[used], expected["end"][used], AGREEMENT)
        # A weight that moves by a hundred-thousandth of itself: to the digits that its own norm has.
        assert (np.abs(moves - expected["moved"])[used] <= AGREEMENT * np.maximum(starts, moves)[used]).all()


def _norms(training: Training, keys: Iterable[str]) -> tuple[np.ndarray, ...]:
    """Norms at the start, now, and of the change; 0 for keys that the network does not have."""
    return tuple(np.array([training.norms(key) if key in training.used else (0.0,) * 3 for key in keys]).T)


# MSCMNet.


def mscm_training(salt: int) -> Training:
    def factor(key: str, shape: Shape) -> float:
        if key.startswith("NL_") and len(shape) == 4:
            return 0.05
        return 0.2 if key.startswith("base_resnet.") and key.endswith("bn3.weight") else 1.0

    weights = filled("mscm", mscm_small(shapes("mscm")), salt, factor)
    # Three steps an epoch, so that the second epoch's rate is seen.
    return Training("SYSU/mscm_released.yml", "mscm", weights, (96, 48), PLAIN, iters_per_epoch=3)


def four_streams(seeds: int, step: int) -> dict[str, Any]:
    drawn = RS(seeds + 7000 + step).standard_normal((4, 12, 3, 96, 48)).astype(np.float32).astype(np.float64)
    identities = RS(seeds + 9000 + step).choice(395, 3, replace=False).repeat(4)
    blocks = [(0, 0), (0, 1), (1, 0), (1, 1)]
    return {"images": torch.from_numpy(drawn.reshape(-1, 3, 96, 48)), **columns(identities, blocks)}


@pytest.mark.slow
@pytest.mark.parametrize("steps", [1, 6])
def test_mscm_equals_released_trajectory(steps: int) -> None:
    fixture, salt, seeds = stored("mscm")
    keys = fixture["A_keys"].tolist()
    training = mscm_training(salt)
    branches = branches_of(training)
    named = {"base": "base_resnet.base.layer1.0.conv1.weight", "neck": "bottleneck.weight"}
    for step in range(steps):
        for name, key in {**named, "classifier": "classifier.weight"}.items():
            assert_close(training.rate(key), fixture[f"A_lr_{name}"][step], 1e-12)
        batch = four_streams(seeds, step)
        losses = training.step(batch)
        assert set(losses) == {"label_smooth_ce", "qct"}
        branch, targets = branches[step], batch["targets"]
        pooled = branch.pooled.detach()
        squares = [p.grad.square().sum() for p in training.parameters.values() if p.grad is not None]
        found = {
            "loss_id": losses["label_smooth_ce"],
            "loss_tri": losses["qct"],
            "total": losses["label_smooth_ce"] + losses["qct"],
            "dc": dual_center(pooled, targets, 24),
            "qc": quadruple_center(pooled, targets, [12] * 4),
            "nm": negative_margin(pooled, targets, 0.7),
            "pooled_norm": pooled.norm(),
            "logits_norm": branch.logits.detach().norm(),
        }
        for name, value in found.items():
            bound = max(AGREEMENT, MSCM_ROUNDING * 10**step)
            assert_close(float(value), fixture[f"A_{name}"][step], bound, what=f"{name} at step {step}")
        norm = torch.stack(squares).sum().sqrt().item()
        bound = max(AGREEMENT, MSCM_GRADIENT_ROUNDING[step])
        assert_close(norm, fixture["A_grad_norm"][step], bound, what=f"grad_norm at step {step}")
        if step == 0:
            gradients = np.array([training.gradient(key) for key in keys])
            assert np.array_equal(~np.isnan(gradients), fixture["A_has_grad"])
            assert_close(np.nan_to_num(gradients), fixture["A_first_grad_norm"], AGREEMENT, ROUNDING)
    before, after, change = _norms(training, keys)
    used = [key in training.used for key in keys]
    assert_close(before[used], fixture["A_norm_before"][used], AGREEMENT)
    assert not fixture["A_change_norm"][np.logical_not(used)].any()
    if steps == 6:
        assert_close(after[used], fixture["A_norm_after"][used], AGREEMENT)
        scale = np.maximum(before, change)[used]
        # The same change of all layers' outputs moves those of the relation blocks by 3e-11.
        assert (np.abs(change - fixture["A_change_norm"])[used] <= 10 * AGREEMENT * scale).all()
        _assert_mscm_features(training, fixture, seeds)


def _assert_mscm_features(training: Training, fixture: dict[str, np.ndarray], seeds: int) -> None:
    """Pooled and neck features after the last step."""
    drawn = RS(seeds + 8000).standard_normal((2, 3, 96, 48)).astype(np.float32).astype(np.float64)
    images = torch.from_numpy(drawn)
    model = training.model.eval()
    head = model.heads["global"]
    for modality, name in enumerate(("visible", "infrared")):
        with torch.no_grad():
            maps = model.extract(images, torch.full((2,), modality), torch.zeros(2, dtype=torch.long))
            pooled = head.pool_layer(maps["stage4"])
            neck = head.bottleneck(pooled)
        for kind, value in (("pool", pooled), ("neck", neck)):
            expected = fixture[f"A_{name}_{kind}"]
            assert_close(nn.functional.normalize(value[..., 0, 0]), expected, AGREEMENT, AGREEMENT)


@pytest.mark.parametrize(("name", "a"), [("qct_nm", 0.0), ("qct_nm_a05", 0.5)])
def test_qct_with_negatives_inside_the_margin_equals_released_value_and_gradient(name: str, a: float) -> None:
    fixture, _, seeds = stored("mscm")
    x = torch.from_numpy(0.03 * RS(seeds + 31).standard_normal((96, 128))).requires_grad_()
    targets = torch.from_numpy(np.tile(RS(seeds + 32).choice(395, 6, replace=False).repeat(4), 4))
    value = quadruple_center_triplet(x, targets, [24] * 4, 48, 0.7, a)
    value.backward()
    assert_close(value.item(), fixture[name], AGREEMENT)
    assert_close(x.grad, fixture[f"{name}_grad"], AGREEMENT, ROUNDING)


def test_mscm_schedule_equals_released_rates_of_all_epochs() -> None:
    fixture, _, _ = stored("mscm")
    cfg = get_cfg()
    cfg.merge_from_file(config_path("SYSU/mscm_released.yml"))
    optimizer = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=cfg.SOLVER.BASE_LR)
    schedule = build_lr_scheduler(cfg, optimizer, iters_per_epoch=1)["lr_sched"]
    found = []
    for _ in range(cfg.SOLVER.MAX_EPOCH):
        found.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        schedule.step()
    assert_close(found, fixture["lr_base_by_epoch"], 1e-12)


def test_mscm_sampler_equals_released_batches_of_an_epoch() -> None:
    """Training images (visible, infrared) of SYSU-MM01, RegDB and LLCM."""
    fixture, _, _ = stored("mscm")
    found = []
    for name, counts in (("SYSU", (22258, 11909)), ("RegDB", (2060, 2060)), ("LLCM", (16946, 13975))):
        cfg = get_cfg()
        cfg.merge_from_file(config_path(f"{name}/mscm_released.yml"))
        modalities = np.arange(2).repeat(counts)
        targets = np.concatenate([np.arange(count) % 100 for count in counts])
        instances = cfg.DATALOADER.NUM_INSTANCE
        sampler = SAMPLER_REGISTRY.get(cfg.DATALOADER.SAMPLER_TRAIN)(
            targets.tolist(),
            modalities.tolist(),
            identities_per_batch=cfg.SOLVER.IMS_PER_BATCH // (2 * instances),
            instances=instances,
        )
        found.append(sampler.steps)
    assert found == fixture["batches_of_an_epoch"].tolist()


# IDKL.

# What the losses print, and the sum of unweighted released terms that it is.
IDKL = {
    "hard_triplet": ["triplet_sh"],
    "sp_hard_triplet": ["triplet_sp"],
    "label_smooth_ce": ["ce_sh"],
    "sp_label_smooth_ce": ["ce_sp"],
    "confuser": ["confuser"],
    "discriminator": ["discriminator"],
    "purifier_e": ["L_e"],
    "purifier_r": ["L_r"],
    "csa": ["csa_inter_V", "csa_inter_I", "sm_inter_V", "sm_inter_I"],
    "mdr_class": ["csa_intra", "sm_intra"],
}
GRAPHS = {
    "tgsa": ["tgsa_inter_V", "tgsa_inter_I"],
    "mdr_graph": ["tgsa_intra_VI", "tgsa_intra_VX", "tgsa_intra_XI"],
}


def patterned(seeds: int, step: int, classes: int, identities: int) -> dict[str, Any]:
    """Bytes in which every identity has a pattern of its own, of which an infrared image shows the first channel."""
    labels = RS(seeds + 7005 + step).permutation(classes)[:identities]
    noise = RS(seeds + 6005 + step).randint(-40, 41, (2, identities, 5, 3, 64, 32))
    patterns = [RS(seeds + 5005 + 1000 * label).randint(0, 256, (3, 8, 4)) for label in labels]
    pattern = np.stack(patterns).repeat(8, 2).repeat(8, 3)[:, None]
    visible = (pattern + noise[0]).clip(0, 255)
    infrared = (pattern[:, :, :1] + noise[1][:, :, :1]).clip(0, 255).repeat(3, 2)
    images = torch.from_numpy(np.stack([visible, infrared]).reshape(-1, 3, 64, 32).astype(np.uint8))
    return {"images": images, **columns(labels.repeat(5), [(0, 0), (1, 0)])}


@dataclass(frozen=True)
class IdklCase:
    """A variant, its configuration, classes, P, alpha of the class alignments, and how far it is followed."""

    variant: str
    config: str
    classes: int
    identities: int
    alpha: float
    steps: int
    overrides: tuple[str, ...] = ()
    dtype: torch.dtype = torch.float64
    first: float = 1e-13
    later: float = 2e-7


_REGDB = ("regdb_f64", "RegDB/idkl_released.yml", 206, 6, 0.3)
_SYSU = ("SYSU/idkl_released.yml", 395, 12, 0.8)


@pytest.mark.parametrize(
    "case",
    [
        pytest.param(IdklCase(*_REGDB, steps=6), id="regdb-whole", marks=pytest.mark.slow),
        pytest.param(IdklCase("sysu_f64_step0", *_SYSU, steps=1), id="sysu", marks=pytest.mark.slow),
        pytest.param(
            IdklCase(
                "sysu_f32_lr3.5e-6",
                *_SYSU,
                steps=6,
                overrides=("SOLVER.BASE_LR", "3.5e-6", *PLAIN),
                dtype=torch.float32,
                first=1e-5,
                later=1e-3,
            ),
            id="sysu-f32",
            marks=pytest.mark.slow,
        ),
    ],
)
def test_idkl_equals_released_trajectory(case: IdklCase) -> None:
    fixture, salt, seeds = stored("idkl")
    expected = {
        key.removeprefix(f"{case.variant}/"): value
        for key, value in fixture.items()
        if key.startswith(f"{case.variant}/")
    }
    weights = filled("idkl", shapes("idkl", case.classes), salt, lambda key, shape: 1.0)
    training = Training(case.config, "idkl", weights, (64, 32), case.overrides, dtype=case.dtype)
    without_dropout(training.model)
    names = expected["param_names"].tolist()
    scale = {"purifier_e": 0.1, "purifier_r": 0.1, "tgsa": 0.6, "csa": case.alpha}
    terms = IDKL if case.config.startswith("RegDB") else {**IDKL, **GRAPHS}
    for step in range(case.steps):
        batch = patterned(seeds, step, case.classes, case.identities)
        if case.dtype == torch.float32:
            # Normalized as torchvision does, operation by operation: the last bit of a pixel is 1e-5 of a loss.
            pixels = batch["images"].float() / 255
            batch["images"] = (pixels - torch.tensor(MEAN)[:, None, None]) / torch.tensor(STD)[:, None, None]
        losses = training.step(batch)
        assert set(losses) == set(terms)
        total = expected["total"][step]
        assert_close(sum(losses.values()), total, case.later if step else case.first, what=f"total at step {step}")
        for ours, parts in terms.items():
            wanted = scale.get(ours, 1.0) * sum(expected[part][step] for part in parts)
            agreement = case.later if step else case.first
            # Later on, and in float32, rounding has grown a million times, to a share of the total not of each term.
            grown = step or case.dtype == torch.float32
            bounds = (0.0, agreement * total) if grown else (agreement, agreement)
            assert_close(losses[ours], wanted, *bounds, what=f"{ours} at step {step}")
        if step == 0:
            found = {key for key in training.used if not np.isnan(training.gradient(key))}
            assert found == set(names)
            if case.dtype == torch.float64:
                gradients = [training.gradient(key) for key in names]
                assert_close(gradients, expected["param_grad_norm_step0"], 1e-8, ROUNDING)
    if case.steps == 6:
        _assert_idkl_weights(training, expected, single=case.dtype == torch.float32)


def _assert_idkl_weights(training: Training, expected: dict[str, np.ndarray], single: bool) -> None:
    """Norms of weights, of their changes and of running statistics after all steps, and what has not changed."""
    _, norms, moves = _norms(training, expected["param_names"].tolist())
    _, statistics, _ = _norms(training, expected["stat_names"].tolist())
    assert_close(norms, expected["param_norm"], 1e-4 if single else 1e-6)
    assert_close(moves, expected["param_update_norm"], 1e-2 if single else 1e-4)
    assert_close(statistics, expected["stat_norm"], 1e-4 if single else 2e-7)
    for key in expected["unchanged_names"].tolist():
        assert key not in training.used or training.norms(key)[2] == 0
