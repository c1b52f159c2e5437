"""Inputs of ADCA's and PGM's fixtures, by the formulas of their description, and a network of given features."""

from functools import cache
from typing import Any

import numpy as np
import torch
from released import FIXTURES, Training, filled, shapes
from torch import Tensor, nn

from vireid_plugins.modeling import Branch, ClusterContrast
from vireid_plugins.modeling.cluster_contrast import CrossOptions, MemoryOptions
from vireid_plugins.modeling.losses import MemoryContrast
from vireid_plugins.unsupervised.state import EpochState

RS = np.random.RandomState
Floats = np.ndarray
# Number, clusters, smallest and largest size, outliers, sigma, tau, D, k1, k2, values of eps.
CLUSTERINGS: dict[str, tuple[Any, ...]] = {
    "sysu": (0, 20, 3, 40, 30, 1.05, 0.5, 64, 30, 6, (0.6, 0.4)),
    "regdb": (1, 40, 10, 10, 10, 0.55, 0.4, 64, 30, 6, (0.3, 0.6)),
    "odd": (2, 15, 4, 20, 10, 0.8, 0.0, 48, 15, 1, (0.6, 0.3)),
}
# Number, visible and infrared clusters, rule, momentum.
PHASES: dict[str, tuple[int, int, int, str, float]] = {
    "adca stage1": (0, 12, 9, "mean", 0.1),
    "adca stage2": (1, 12, 9, "mean", 0.1),
    "pgm stage1": (2, 12, 9, "mean", 0.2),
    "pgm stage2_sysu_more": (3, 12, 9, "hard", 0.2),
    "pgm stage2_regdb_more": (4, 12, 9, "mean", 0.2),
    "pgm stage2_regdb_fewer": (5, 9, 12, "mean", 0.2),
    "pgm stage2_sysu_fewer": (6, 9, 12, "hard", 0.2),
}
STEPS = 4


@cache
def fixture(method: str) -> dict[str, Floats]:
    """What is stored of "adca" or "pgm"."""
    with np.load(FIXTURES / f"{method}_salt5.npz") as file:
        return dict(file)


def salt(method: str) -> int:
    """The salt of a method's filling."""
    return int(fixture(method)["salt"])


def normal(seed: int, *shape: int, float32: bool = False) -> Floats:
    x = RS(seed).standard_normal(shape)
    return x.astype(np.float32).astype(np.float64) if float32 else x


def unit(x: Floats) -> Floats:
    rows: Floats = x / np.linalg.norm(x, axis=-1, keepdims=True)
    return rows


def chosen(seed: int, n: int, count: int, times: int) -> Floats:
    return np.repeat(RS(seed).choice(n, count, replace=False), times)


def clustering_features(case: str) -> tuple[Floats, Floats]:
    """Features (N, D) float32, and each row's true cluster (-1: outlier)."""
    number, clusters, low, high, outliers, sigma, tau, dim = CLUSTERINGS[case][:8]
    r = [RS(15000 + 10 * number + k) for k in range(6)]
    centers, sizes = r[0].standard_normal((clusters, dim)), r[1].randint(low, high + 1, clusters)
    person = np.concatenate([np.repeat(np.arange(clusters), sizes), np.full(outliers, -1)])
    rows = np.concatenate([np.repeat(centers, sizes, axis=0), r[2].standard_normal((outliers, dim))])
    x = rows + sigma * r[3].standard_normal(rows.shape)
    flipped = x + tau * r[4].standard_normal(rows.shape)
    order = r[5].permutation(len(rows))
    return ((unit(x) + unit(flipped)) / 2)[order].astype(np.float32), person[order]


def phase_start(phase: str) -> tuple[Floats, Floats]:
    """Visible and infrared memory at the start."""
    number, visible, infrared = PHASES[phase][:3]
    base = normal(60500 + 10 * number, max(visible, infrared), 32)
    noise = normal(60501 + 10 * number, visible, 32), normal(60502 + 10 * number, infrared, 32)
    return unit(base[:visible] + 0.8 * noise[0]), unit(base[:infrared] + 0.8 * noise[1])


def phase_step(phase: str, step: int) -> tuple[Floats, Floats]:
    """Rows [V1; V2; R] (32, 32) before normalization, and their labels."""
    number, visible, infrared = PHASES[phase][:3]
    seed, (mv, mr) = 100000 + 1000 * number + 10 * step, phase_start(phase)
    yv, yr = chosen(seed, visible, 2, 4), chosen(seed + 1, infrared, 4, 4)
    views = [1.5 * mv[yv] + normal(seed + k, 8, 32) for k in (2, 3)]
    return np.concatenate([*views, 1.5 * mr[yr] + normal(seed + 4, 16, 32)]), np.concatenate([yv, yv, yr])


class _Through(nn.Module):
    """A backbone whose feature map are the images."""

    def forward(self, images: Tensor, *_: Any) -> dict[str, Tensor]:
        return {"stage4": images}


class _Flat(nn.Module):
    """A head whose features are those of the feature map."""

    def forward(self, feature_map: Tensor, targets: Tensor) -> Branch:
        x = feature_map.flatten(1)
        return Branch(x, x, x[:, :0])


def network_of_features(instances: int = 4, cross: CrossOptions | None = None, **memory: Any) -> ClusterContrast:
    """A network whose images (B, 1, 1, D) are the features, in double precision."""
    heads = nn.ModuleDict({"global": _Flat()})
    backbone: Any = _Through()
    model = ClusterContrast(
        backbone=backbone,
        heads=heads,
        losses=[MemoryContrast()],
        pixel_mean=[0.0],
        pixel_std=[1.0],
        memory=MemoryOptions(**memory),
        cross=cross or CrossOptions(),
        instances=instances,
    )
    return model.double().train()


def apart_batch(images: Tensor, targets: Floats, visible: int, views: int = 2) -> dict[str, Tensor]:
    """The batch of rows [V1, .., R], so many of them visible."""
    modalities = (torch.arange(len(targets)) >= visible).long()
    number = torch.arange(len(targets)) // (visible // views) * (modalities == 0)
    return {"images": images, "targets": torch.from_numpy(targets), "modalities": modalities, "views": number}


def epoch_of(
    visible: Floats, infrared: Floats, epoch: int = 0, association: dict[str, Floats] | None = None
) -> EpochState:
    """The state of an epoch with these memories and maps."""
    maps = {name: torch.from_numpy(partners) for name, partners in (association or {}).items()}
    memories = {"visible": torch.from_numpy(visible), "infrared": torch.from_numpy(infrared)}
    return EpochState(epoch, memories=memories, association=maps)


def assert_phase_equals(phase: str, tag: str, epoch: int, association: dict[str, Floats], start: Any) -> None:
    """Take the steps of a phase and compare losses, gradients and memories with those stored under `d_<tag>`."""
    method = phase.split()[0]
    rule, momentum = PHASES[phase][3:]
    stored = {key.removeprefix(f"d_{tag}_"): v for key, v in fixture(method).items() if key.startswith(f"d_{tag}_")}
    model = network_of_features(rule=rule, momentum=momentum)
    model.begin_epoch(epoch_of(*start, epoch, association))
    for step in range(STEPS):
        rows, labels = phase_step(phase, step)
        images = torch.from_numpy(rows).view(32, 1, 1, 32).requires_grad_()
        losses: Any = model(apart_batch(images, labels, 16))
        total = sum(losses.values())
        total.backward()
        model.commit_memories()
        found = {f"loss_{ours}": losses.get(f"loss_{ours}", torch.zeros(())).item() for ours in ("infrared", "visible")}
        expected = {"loss_infrared": stored["loss_ir"][step], "loss_visible": stored["loss_rgb"][step]}
        cross = losses.get("loss_cross", torch.zeros(())).item()
        agreement = 1e-9 if step else 1e-11
        for key, value in expected.items():
            np.testing.assert_allclose(found[key], value, rtol=agreement, err_msg=f"{key} at step {step}")
        np.testing.assert_allclose(cross, 0.25 * stored["loss_cross"][step], rtol=agreement, atol=1e-15)
        np.testing.assert_allclose(total.item(), stored["total"][step], rtol=agreement)
        gradients = np.concatenate([stored[f"grad_{name}"][step] for name in ("v1", "v2", "ir")])
        np.testing.assert_allclose(images.grad.view(32, 32), gradients, rtol=1e-9, atol=1e-12)  # type: ignore[union-attr]
        assert model.epoch_state is not None
        for ours, theirs in (("visible", "rgb"), ("infrared", "ir")):
            memory = model.epoch_state.memories[ours]
            np.testing.assert_allclose(memory, stored[f"memory_{theirs}"][step], rtol=1e-9, atol=1e-12)


NETWORK_SIZE = (96, 48)


def network_start() -> tuple[Floats, Floats]:
    """Visible (12, 2048) and infrared (9, 2048) memory."""
    return unit(normal(80005, 12, 2048)), unit(normal(81005, 9, 2048))


def network_batch(step: int) -> dict[str, Tensor]:
    """The batch [V1; V2; R] (32, 3, 96, 48) of a training step."""
    images = [normal(75000 + 10 * step + b, n, 3, *NETWORK_SIZE, float32=True) for b, n in enumerate((8, 8, 16))]
    visible, infrared = chosen(76000 + step, 12, 2, 4), chosen(77000 + step, 9, 4, 4)
    return apart_batch(torch.from_numpy(np.concatenate(images)), np.concatenate([visible, visible, infrared]), 16)


def assert_network_equals(method: str, tag: str, config: str, state: EpochState, steps: int) -> None:
    """Take steps of the network of a configuration and compare them with those stored under `e_<tag>`."""
    stored = {key.removeprefix(f"e_{tag}_"): v for key, v in fixture(method).items() if key.startswith(f"e_{tag}_")}

    def factor(key: str, _: Any) -> float:
        return 0.25 if key.endswith("bn3.weight") else 1.0

    weights = filled(method, shapes(method), salt(method), factor)
    # The inputs are the network's own.
    plain = ["MODEL.PIXEL_MEAN", "[0.0, 0.0, 0.0]", "MODEL.PIXEL_STD", "[1.0, 1.0, 1.0]"]
    training = Training(config, method, weights, NETWORK_SIZE, [*plain, "DATALOADER.NUM_INSTANCE", "4"])
    for key in (key for key in weights if key.endswith(".W.1.weight")):
        # Damped after the values were rounded to float32.
        name = training.used[key]
        training.start[name] = training.parameters[name].data.mul_(0.1).clone()
    start = {name: rows.clone() for name, rows in state.memories.items()}
    training.model.begin_epoch(state)
    names = stored["names"].tolist()
    for step in range(steps):
        losses = training.step(network_batch(step))
        training.model.commit_memories()
        agreement = 1e-9 if step else 1e-11
        expected = {"infrared": stored["loss_ir"][step], "visible": stored["loss_rgb"][step]}
        if state.association:
            expected["cross"] = 0.25 * stored["loss_cross"][step]
        assert set(losses) == set(expected)
        for name, value in expected.items():
            np.testing.assert_allclose(losses[name], value, rtol=agreement, err_msg=f"{name} at step {step}")
        for ours, theirs in (("visible", "rgb"), ("infrared", "ir")):
            moved = (state.memories[ours] - start[ours]).norm(dim=1)
            np.testing.assert_allclose(moved, stored[f"memory_{theirs}_norms_vs_start"][step], rtol=1e-9, atol=1e-12)
        if not step:
            found = np.nan_to_num([training.gradient(key) for key in names], nan=-1)
            np.testing.assert_allclose(found, stored["grad_norm_step0"], rtol=1e-9, atol=1e-12)
    if steps < STEPS:
        return
    _, end, moved = np.array([training.norms(key) for key in names]).T
    np.testing.assert_allclose(end, stored["norm_end"], rtol=1e-9)
    np.testing.assert_allclose(moved, stored["moved"], rtol=1e-9, atol=1e-11)
    images = torch.from_numpy(normal(75090, 4, 3, *NETWORK_SIZE, float32=True))
    training.model.eval()
    for modality, name in enumerate(("visible", "infrared")):
        column = torch.full((4,), modality)
        with torch.no_grad():
            sides = [training.model({"images": side, "modalities": column}) for side in (images, images.flip(3))]
        mean = (sides[0] + sides[1]) / 2
        np.testing.assert_allclose(mean[:, ::16], stored[f"eval_{name}"], rtol=1e-9, atol=1e-11)
        np.testing.assert_allclose(mean.norm(dim=1), stored[f"eval_{name}_norm"], rtol=1e-9)
