"""PMT's features and training steps from converted weights are those of the public code, in float64."""

from collections.abc import Iterator
from contextlib import nullcontext
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from double import quick
from fastreid.modeling.meta_arch import build_model
from released import Training
from released_pmt import RS, fixture, network_keys, step_batch, weights

from vireid_plugins.checkpoints import convert
from vireid_plugins.config import config_path, get_cfg
from vireid_plugins.engine.hooks.lr_schedule import floored_rate

SMALL = (64, 32)


@pytest.fixture(autouse=True)
def quick_convolutions(request: pytest.FixtureRequest) -> Iterator[None]:
    with nullcontext() if request.node.get_closest_marker("slow") else quick():
        yield


def close(found: Any, expected: Any, rtol: float, atol: float = 0.0, what: str = "") -> None:
    np.testing.assert_allclose(found, expected, rtol=rtol, atol=atol, err_msg=what)


@pytest.mark.parametrize(
    ("name", "size", "stride", "depth", "classes"),
    [
        ("small", SMALL, 12, 2, 10),
        ("stride16", SMALL, 16, 2, 10),
        pytest.param("full", (256, 128), 12, 12, 395, marks=pytest.mark.slow),
    ],
)
def test_pmt_equals_released_features(name: str, size: tuple[int, int], stride: int, depth: int, classes: int) -> None:
    sizes = ["INPUT.SIZE_TRAIN", str(list(size)), "INPUT.SIZE_TEST", str(list(size))]
    overrides = [*network_keys(depth, stride), *sizes]
    converted = convert("pmt", weights(depth, classes, size, stride), overrides)
    assert not converted.missing
    cfg = get_cfg()
    cfg.merge_from_file(config_path("SYSU/pmt.yml"))
    heads = ["MODEL.HEADS.NUM_CLASSES", str(classes)]
    cfg.merge_from_list([*overrides, *heads, "MODEL.BACKBONE.PRETRAIN", "False", "MODEL.DEVICE", "cpu"])
    model = build_model(cfg)
    model.load_state_dict(converted.weights)
    model = model.double().eval()
    pixels = RS(1000 + int(fixture()["salt"])).standard_normal((4, 3, *size)).astype(np.float32)
    images, modalities = torch.from_numpy(pixels).double(), torch.tensor([0, 1, 0, 1])
    norms: list[float] = []
    for module in model.backbone.modules():
        if type(module).__name__ == "Block":
            module.register_forward_hook(lambda _, x, out: norms.append(out.norm(dim=(1, 2)).mean().item()))
    with torch.no_grad():
        patches = model.backbone(images, maps=("stem",))["stem"]
        sequence = model.backbone.outputs(images)["stage4"]
        feature = F.normalize(model({"images": images, "modalities": modalities}))
    expected = {key.partition("/")[2]: value for key, value in fixture().items() if key.startswith(f"{name}/")}
    close(patches.flatten(1).norm(dim=1), expected["patch_norm"], 1e-12)
    close(norms[:depth], expected["block_norms"], 1e-12)
    close(sequence[:, 0], expected["pooled"], 1e-12, 1e-12)
    close(sequence.mean(1), expected["token_mean"], 1e-12, 1e-12)
    close(sequence[:, 1:].amax(1), expected["patch_token_max"], 1e-12, 1e-12)
    close(feature, expected["feature"], 1e-12, 1e-12)


@pytest.mark.parametrize("dataset", ["sysu", "regdb"])
def test_floored_rate_equals_released_rates(dataset: str) -> None:
    rates = fixture()[f"lr/{dataset}"]
    for epoch, (low, high) in enumerate(rates, start=1):
        for full, expected in ((1.5e-4, low), (3e-4, high)):
            close(floored_rate(full, epoch, epochs=len(rates), warmup=3, floor=3e-6), expected, 1e-12)


# Number of steps of the ordinary run.
@pytest.mark.parametrize(
    ("name", "depth", "steps"),
    [
        ("d2", 2, 1),
        ("d2_base", 2, 1),
        *(pytest.param(*case, marks=pytest.mark.slow) for case in (("d2", 2, 6), ("d2_base", 2, 3), ("d12", 12, 3))),
    ],
)
def test_training_equals_released_trajectory(name: str, depth: int, steps: int) -> None:
    expected = {key.partition("/")[2]: v for key, v in fixture().items() if key.startswith(f"{name}_f64/")}
    ablation = ["MODEL.LOSSES.NAME", "['LabelSmoothCE', 'HardTriplet']", "MODEL.LOSSES.EPOCHS", "[]"]
    base = name == "d2_base"
    overrides = [*network_keys(depth), *(ablation if base else [])]
    training = Training("SYSU/pmt.yml", "pmt", weights(depth, 10, SMALL), SMALL, overrides, iters_per_epoch=1)
    keys = expected["keys"].tolist()
    pooled: list[torch.Tensor] = []
    training.model.heads["global"].pool_layer.register_forward_hook(
        lambda _, x, out: pooled.append(out.detach().flatten(1))
    )
    for step in range(steps):
        epoch = int(expected["epoch"][step])
        gray = not base and epoch <= 6
        while training.schedule.last_epoch < epoch - 1:
            training.schedule.step()
        training.model.epoch = epoch - 1
        for group in ("low", "high"):
            rates = [training.rate(key) for key in fixture()[f"lr/keys_{group}"].tolist()]
            close(rates, expected[f"lr_{group}"][step], 1e-12)
        losses = training.step(step_batch(step, gray))
        terms = {"label_smooth_ce": expected["id_v"][step] + expected["id_i"][step]}
        terms |= {"modality_triplet" if gray else "hard_triplet": expected["tri"][step]}
        if not base and not gray:
            terms |= {"msel": 0.5 * expected["msel"][step], "dcl": 0.5 * expected["dcl"][step]}
        assert set(losses) == set(terms)
        agreement = 1e-9 if step else 1e-11
        for term, value in terms.items():
            close(losses[term], value, agreement, what=f"{term} at step {step}")
        close(sum(losses.values()), expected["total"][step], agreement, what=f"total at step {step}")
        close(pooled[step].norm(dim=1).mean(), expected["feat_norm"][step], agreement)
        for which, at in (("grad0", 0), ("grad_phase2", int(expected["grad_phase2_step"]))):
            if step == at:
                found = np.nan_to_num([training.gradient(key) for key in keys], nan=-1)
                close(found, expected[which], 1e-9, 1e-12, which)
    assert {group["weight_decay"] for group in training.optimizer.param_groups} == set(fixture()["lr/decays"])
    start, end, moved = np.array([training.norms(key) for key in keys]).T
    close(start, expected["start"], 1e-11)
    if steps == len(expected["epoch"]):
        close(end, expected["end"], 1e-9)
        # The last norm's bias has no gradient but rounding, of which AdamW makes a step.
        close(moved, expected["moved"], 1e-9, 1e-11)
        state = training.model.state_dict()
        close([state[training.used[key]].norm() for key in expected["stat_keys"].tolist()], expected["stat_end"], 1e-9)
        images = torch.from_numpy(RS(8000).standard_normal((2, 3, *SMALL)))
        with torch.no_grad():
            after = training.model.eval()({"images": images, "modalities": torch.tensor([0, 1])})
        close(F.normalize(after), expected["features_after"], 1e-9, 1e-9)
