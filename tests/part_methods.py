"""What the tests of MPANet and SAAI share: their fixtures, fillings and steps (tests/fixtures/*_salt5.npz)."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from fastreid.modeling.meta_arch import build_model
from released import FIXTURES, Shape, Training, filled, shapes
from torch import Tensor, nn

from vireid_plugins.checkpoints import LAYOUTS, convert
from vireid_plugins.config import config_path, get_cfg
from vireid_plugins.engine.hooks.lr_schedule import build_lr_scheduler
from vireid_plugins.layers.centers import centers
from vireid_plugins.modeling.heads.teachers import Teacher, TeacherUpdate
from vireid_plugins.modeling.losses import center_cluster, mutual_teaching
from vireid_plugins.modeling.losses.center_cluster import center_pull, center_push

RS = np.random.RandomState
# The images are the network's own.
PLAIN = ["MODEL.PIXEL_MEAN", "[0.0, 0.0, 0.0]", "MODEL.PIXEL_STD", "[1.0, 1.0, 1.0]"]
# Of ResNet-50's feature map, from the image's size at last stride 1.
STRIDE = 16
NO_SUMS: Mapping[str, Sequence[str]] = {}


class Fixture:
    """The numbers of a method's released code.

    Args:
        name: of the file.
    """

    def __init__(self, name: str) -> None:
        with np.load(FIXTURES / f"{name}.npz") as file:
            self.arrays = dict(file)
        self.salt = int(self.arrays["salt"])
        # Added to the seeds of all inputs but the images of features, as in the other trajectories' files.
        self.seeds = int(self.arrays.get("seeds", 0))

    def group(self, name: str) -> dict[str, np.ndarray]:
        """The entries whose names begin with `name/`."""
        return {key.split("/", 1)[1]: value for key, value in self.arrays.items() if key.startswith(f"{name}/")}


def weights_of(
    layout: str,
    salt: int,
    size: tuple[int, int],
    classes: int,
    factor: Callable[[str, Shape], float] = lambda key, shape: 1.0,
    without: Sequence[str] = (),
    width: int = 0,
) -> dict[str, Tensor]:
    """The released state dict, filled.

    Args:
        layout: whose keys.
        salt: of the filling.
        size: of the images, which the number of position embeddings follows.
        classes: N.
        factor: see `filled`.
        without: beginnings of keys that this variant lacks.
        width: of f, where it is not that of the printed keys.
    """
    positions = (-(-size[0] // STRIDE)) * (-(-size[1] // STRIDE))
    of: dict[str, Shape] = {}
    for key, shape in shapes(layout, classes).items():
        if key.startswith(tuple(without)):
            continue
        if key.endswith("pos_embeding"):
            shape = (positions, shape[1])
        if width and "layer" not in key and "classifier" in key:
            shape = (shape[0], width)
        if width and key.startswith("bn_neck") and shape:
            shape = (width,)
        of[key] = shape
    return filled(layout, of, salt, factor)


def tame(key: str, shape: Shape) -> float:
    """The factor of trainings."""
    return 0.25 if key.endswith("bn3.weight") else 1.0


def network(layout: str, weights: Mapping[str, Tensor], size: tuple[int, int]) -> nn.Module:
    """The network of a layout's configuration in evaluation and double precision, filled."""
    sizes = ["INPUT.SIZE_TRAIN", str(list(size)), "INPUT.SIZE_TEST", str(list(size))]
    converted = convert(layout, weights, sizes)
    assert not converted.missing
    cfg = get_cfg()
    cfg.merge_from_file(config_path(LAYOUTS[layout].config))
    classes = str(len(weights[LAYOUTS[layout].classifier]))
    cfg.merge_from_list(
        ["MODEL.BACKBONE.PRETRAIN", "False", "MODEL.DEVICE", "cpu", "MODEL.HEADS.NUM_CLASSES", classes, *sizes]
    )
    model: nn.Module = build_model(cfg)
    model.load_state_dict(converted.weights)
    return model.double().eval()


def images_of(salt: int, count: int, size: tuple[int, int]) -> Tensor:
    """The images of evaluation features."""
    drawn = RS(1000 + salt).standard_normal((count, 3, *size)).astype(np.float32)
    return torch.from_numpy(drawn).double()


def batch_of(seeds: int, step: int, identities: int, size: tuple[int, int], dtype: torch.dtype) -> dict[str, Any]:
    """The batch of a step: P identities of two visible and two infrared images each."""
    rows = 2 * identities
    drawn = [
        RS(seeds + 5000 + 10 * step + block).standard_normal((rows, 3, *size)).astype(np.float32) for block in (0, 1)
    ]
    chosen = np.repeat(RS(seeds + 5500 + step).choice(10, identities, replace=False), 2)
    return {
        "images": torch.from_numpy(np.concatenate(drawn)).to(dtype),
        "targets": torch.from_numpy(np.tile(chosen, 2)),
        "modalities": torch.arange(2).repeat_interleave(rows),
        "views": torch.zeros(2 * rows, dtype=torch.long),
    }


def assert_center_cluster(expected: Mapping[str, np.ndarray], name: str, tolerance: float) -> None:
    """Compare value, gradient and both terms of the center cluster loss, which is stored under this name."""
    x, y = torch.from_numpy(expected["x"]).requires_grad_(), torch.from_numpy(expected["y"])
    value = center_cluster(x, y, margin=0.7, tolerance=tolerance)
    value.backward()
    np.testing.assert_allclose(value.item(), expected[name], rtol=1e-12)
    np.testing.assert_allclose(x.grad, expected[f"{name}_grad"], rtol=1e-12, atol=1e-12)
    center = centers(x, y, y)
    np.testing.assert_allclose(center_pull(x, center, tolerance).item(), expected[f"{name}_pull"], rtol=1e-12)
    np.testing.assert_allclose(center_push(center, y, 0.7).item(), expected[f"{name}_push"], rtol=1e-12)


def assert_teaching(released: Fixture, name: str, form: str) -> None:
    """Compare value and gradient of mutual teaching, which is stored under this name."""
    expected, seeds = released.group("mutual"), released.seeds
    student, teacher = (torch.from_numpy(2 * RS(seeds + seed).standard_normal((16, 10))) for seed in (7305, 7405))
    student.requires_grad_()
    value = mutual_teaching(student, teacher, form)
    value.backward()
    np.testing.assert_allclose(value.item(), expected[name], rtol=1e-12)
    np.testing.assert_allclose(student.grad, expected["grad"], rtol=1e-12, atol=1e-12)


def rates_of(config: str) -> list[float]:
    """The learning rate of each epoch of a shipped configuration."""
    cfg = get_cfg()
    cfg.merge_from_file(config_path(config))
    optimizer = torch.optim.Adam([nn.Parameter(torch.zeros(1))], lr=cfg.SOLVER.BASE_LR)
    schedule = build_lr_scheduler(cfg, optimizer, iters_per_epoch=1)["lr_sched"]
    found = []
    for _ in range(cfg.SOLVER.MAX_EPOCH):
        found.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        schedule.step()
    return found


def move_teachers(model: Any, share: float) -> None:
    """What the hook does before a step."""
    pairs = [
        (model.heads[name], model.heads[f"{name}_teacher"]) for name in ("visible", "infrared") if name in model.heads
    ]
    assert all(isinstance(teacher, Teacher) for _, teacher in pairs)
    TeacherUpdate(pairs, 0.0).move_teachers(share)


def assert_trajectory(
    training: Training,
    released: Fixture,
    group: str,
    terms: Mapping[str, str],
    *,
    size: tuple[int, int],
    identities: int = 4,
    scales: Mapping[str, float],
    sums: Mapping[str, Sequence[str]] = NO_SUMS,
    agreement: tuple[float, float] = (1e-11, 1e-9),
) -> None:
    """Take the steps of a group and compare terms, gradients, norms and rates.

    Args:
        training: at the released weights.
        released: the numbers of the released code.
        group: name of the group.
        terms: our name -> released name.
        size: of the images.
        identities: P.
        scales: weight of each of our terms, 1 where it is not given.
        sums: released name -> our terms of which it is the sum; some groups store only that.
        agreement: relative, of the terms at the first step and at later ones.
    """
    expected = released.group(group)
    single = next(training.model.parameters()).dtype == torch.float32
    dtype = torch.float32 if single else torch.float64
    seen: list[Any] = []
    handle = training.model.losses[0].register_forward_pre_hook(lambda module, inputs: seen.append(inputs[0]))
    for step, share in enumerate(expected["update_rate"]):
        for group in training.optimizer.param_groups:
            group["lr"] = float(expected["lr"][step])
        move_teachers(training.model, float(share))
        losses = training.step(batch_of(released.seeds, step, identities, size, dtype))
        assert set(losses) == set(terms)
        rtol = agreement[min(step, 1)]
        for name, parts in sums.items():
            found = sum(losses[part] for part in parts)
            np.testing.assert_allclose(found, expected[name][step], rtol=rtol, err_msg=f"{name} at step {step}")
        for ours, name in terms.items():
            if name not in expected:
                assert any(ours in parts for parts in sums.values()), ours
                continue
            wanted = scales.get(ours, 1.0) * expected[name][step]
            np.testing.assert_allclose(losses[ours], wanted, rtol=rtol, atol=1e-13, err_msg=f"{ours} at step {step}")
        np.testing.assert_allclose(sum(losses.values()), expected["total"][step], rtol=rtol, err_msg=f"total {step}")
        f = seen[step].branches["global"].pooled.detach().norm(dim=1).mean().item()
        np.testing.assert_allclose(f, expected["feat_norm"][step], rtol=rtol, err_msg=f"feat_norm {step}")
        if step == 0:
            gradients = [training.gradient(key) for key in expected["grad_keys"].tolist()]
            gradients = [-1.0 if np.isnan(value) else value for value in gradients]
            # In float32 a ReLU at a number that is only rounding decides differently: 7e-4 with any order of sums.
            rounding = (5e-3, 1e-4) if single else (1e-9, 1e-12)
            np.testing.assert_allclose(gradients, expected["grad0"], *rounding, err_msg="gradients")
    handle.remove()
    keys = expected["keys"].tolist()
    norms = np.array([training.norms(key) for key in keys]).T
    for name, values in zip(("norm_start", "norm_end", "moved"), norms, strict=True):
        if name == "moved" and single:
            continue
        # A weight that moves by a thousandth of itself: to the digits that its own norm has.
        atol = 1e-14 * expected["norm_start"] if name == "moved" else 0
        gap = np.abs(values - expected[name])
        assert (gap <= (2e-4 if single else 1e-9) * np.abs(expected[name]) + atol).all(), (name, keys[gap.argmax()])
