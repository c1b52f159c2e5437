"""Memories of a network that learns from clusters: when they change, and what a step does with them."""

from pathlib import Path
from typing import Any

import devices
import memory_devices
import numpy as np
import pytest
import torch
import torch.nn.functional as F
from cluster_inputs import apart_batch, epoch_of, network_of_features, phase_start, phase_step
from fastreid.modeling.meta_arch import build_model
from helpers import small_cfg
from torch import Tensor

from vireid_plugins.errors import ConfigError
from vireid_plugins.modeling import ClusterContrast
from vireid_plugins.modeling.cluster_contrast import CrossOptions, MemoryOptions

PHASE = "pgm stage2_regdb_more"
NONE = -1


def begun(epoch: int = 0, cross: CrossOptions | None = None, **memory: Any) -> ClusterContrast:
    model = network_of_features(4, cross, **memory)
    model.begin_epoch(epoch_of(*phase_start(PHASE), epoch, memory_devices.ASSOCIATION))
    return model


def step_of(model: ClusterContrast, step: int = 0) -> tuple[dict[str, Tensor], Tensor]:
    """The losses of a step and their gradient at the rows."""
    rows, labels = phase_step(PHASE, step)
    images = torch.from_numpy(rows).view(32, 1, 1, 32).requires_grad_()
    losses: Any = model(apart_batch(images, labels, 16))
    sum(losses.values()).backward()
    assert images.grad is not None
    return losses, images.grad.flatten(1)


def memories(model: ClusterContrast) -> dict[str, Tensor]:
    assert model.epoch_state is not None
    return model.epoch_state.memories


def test_step_that_is_not_taken_changes_no_memory() -> None:
    model = begun()
    before = {name: rows.clone() for name, rows in memories(model).items()}
    first, _ = step_of(model)
    assert all(torch.equal(memories(model)[name], rows) for name, rows in before.items())
    # Nothing is left of it.
    again, _ = step_of(model)
    assert all(torch.equal(again[name], value) for name, value in first.items())
    model.commit_memories()
    assert not torch.equal(memories(model)["visible"], before["visible"])
    kept = dict(memories(model))
    model.commit_memories()
    assert all(memories(model)[name] is rows for name, rows in kept.items())


def test_state_of_the_caller_is_current_after_each_step() -> None:
    model = network_of_features()
    state = epoch_of(*phase_start(PHASE))
    model.begin_epoch(state)
    step_of(model)
    model.commit_memories()
    other = network_of_features()
    other.begin_epoch(epoch_of(*(state.state_dict()["memories"][name].numpy() for name in ("visible", "infrared"))))
    first, second = (step_of(one, 1)[0] for one in (model, other))
    assert all(torch.equal(first[name], value) for name, value in second.items())


def test_step_without_an_epoch_says_what_is_missing() -> None:
    with pytest.raises(ValueError, match="call begin_epoch before the first step"):
        step_of(network_of_features())


def test_targets_of_other_clusters_are_refused() -> None:
    model = begun()
    rows, labels = phase_step(PHASE, 0)
    batch = apart_batch(torch.from_numpy(rows).view(32, 1, 1, 32), labels + 9, 16)
    with pytest.raises(ValueError, match="are not the 12 visible clusters of the epoch"):
        model(batch)


def test_epoch_without_association_has_no_cross_loss() -> None:
    model = network_of_features()
    model.begin_epoch(epoch_of(*phase_start(PHASE)))
    assert set(step_of(model)[0]) == {"loss_visible", "loss_infrared"}
    assert set(step_of(begun(cross=CrossOptions(weight=0.0)))[0]) == {"loss_visible", "loss_infrared"}


@pytest.mark.parametrize(
    ("direction", "epoch", "expected"),
    [
        ("alternate", 0, ("v2r",)),
        ("alternate", 7, ("r2v",)),
        ("both", 1, ("v2r", "r2v")),
        ("v2r", 1, ("v2r",)),
        ("r2v", 0, ("r2v",)),
    ],
)
def test_cross_loss_is_that_of_its_directions(direction: str, epoch: int, expected: tuple[str, ...]) -> None:
    cross = CrossOptions(weight=0.5, direction=direction)
    assert cross.of_epoch(epoch) == expected
    found, _ = step_of(begun(epoch, cross))
    rows, labels = (torch.from_numpy(array) for array in phase_step(PHASE, 0))
    x, total = F.normalize(rows), torch.zeros((), dtype=torch.float64)
    for one in expected:
        part = slice(0, 16) if one == "v2r" else slice(16, 32)
        partners = torch.from_numpy(memory_devices.ASSOCIATION["r2i" if one == "v2r" else "i2r"])[labels[part]]
        memory = torch.from_numpy(phase_start(PHASE)[1 if one == "v2r" else 0])
        has = partners != NONE
        total = total + 0.5 * F.cross_entropy(x[part][has] @ memory.T / 0.05, partners[has])
    torch.testing.assert_close(found["loss_cross"], total, rtol=1e-11, atol=0)


def test_backward_through_the_same_matrix_changes_gradients_alone() -> None:
    """As large as the released code's own: a gradient through a memory that the cross loss has changed."""
    released, same = begun(momentum=0.2), begun(momentum=0.2, backward="same")
    (losses, gradient), (others, through_same) = step_of(released), step_of(same)
    assert all(torch.equal(others[name], value) for name, value in losses.items())
    # Visible rows see memories that have not changed.
    assert torch.equal(gradient[:16], through_same[:16])
    assert (gradient[16:] - through_same[16:]).abs().max() > 0.05
    for model in (released, same):
        model.commit_memories()
    assert all(torch.equal(memories(released)[name], rows) for name, rows in memories(same).items())
    # That gradient is the one of autograd.
    rows, labels = (torch.from_numpy(array) for array in phase_step(PHASE, 0))
    x = rows.clone().requires_grad_()
    memory = torch.from_numpy(phase_start(PHASE)[1])
    F.cross_entropy(F.normalize(x[16:]) @ memory.T / 0.05, labels[16:]).backward()
    torch.testing.assert_close(through_same[16:], x.grad[16:], rtol=1e-9, atol=1e-12)  # type: ignore[index]


@pytest.fixture(scope="module")
def together(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("stepped")
    devices.on_forked_devices(memory_devices.steps, 2, folder=str(folder))
    return folder


@pytest.mark.parametrize("rule", ["mean", "hard"])
@pytest.mark.parametrize("epoch", [0, 1])
def test_two_processes_equal_one_in_memory_and_gradient(rule: str, epoch: int, together: Path) -> None:
    alone = memory_devices.stepped(0, 1, rule, epoch)
    seen = []
    for rank in range(2):
        found = torch.load(together / f"{rule}{epoch}_{rank}.pt", weights_only=True)
        seen += found["rows"]
        for name, rows in alone["memories"].items():
            torch.testing.assert_close(found["memories"][name], rows, rtol=1e-12, atol=1e-13)
        for whole, part in zip(alone["gradients"], found["gradients"], strict=True):
            torch.testing.assert_close(part, whole[found["rows"]], rtol=1e-10, atol=1e-12)
    assert sorted(seen) == list(range(32))


def test_memories_stay_float32_under_autocast() -> None:
    model = begun().float()
    state = epoch_of(*phase_start(PHASE), 0, memory_devices.ASSOCIATION)
    model.begin_epoch(state)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        rows, labels = phase_step(PHASE, 0)
        losses: Any = model(apart_batch(torch.from_numpy(rows).float().view(32, 1, 1, 32), labels, 16))
    model.commit_memories()
    assert {rows.dtype for rows in state.memories.values()} == {torch.float32}
    exact, _ = step_of(begun())
    assert all(value == pytest.approx(exact[name].item(), rel=1e-4) for name, value in losses.items())


def test_network_has_no_classifier_and_no_accuracy() -> None:
    model = build_model(small_cfg("SYSU/pgm.yml"))
    assert not [name for name, _ in model.named_parameters() if name.startswith("heads.global.weight")]
    assert isinstance(model, ClusterContrast)
    assert model.memory == MemoryOptions(rule="hard", momentum=0.2)


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["MODEL.LOSSES.GATHER", "True"], r"MODEL\.LOSSES\.GATHER: must be False"),
        (["USL.MEMORY.RULE", "median"], r"USL\.MEMORY\.RULE: unknown value 'median'; available: hard, mean"),
        (["USL.MEMORY.BACKWARD", "other"], r"USL\.MEMORY\.BACKWARD.*available: released, same"),
        (["USL.MEMORY.MOMENTUM", "1.5"], r"USL\.MEMORY\.MOMENTUM: must be 0 to 1, got 1\.5"),
        (["USL.MEMORY.TEMPERATURE", "0.0"], r"USL\.MEMORY\.TEMPERATURE: must be above 0, got 0"),
        (["USL.CROSS.WEIGHT", "-1.0"], r"USL\.CROSS\.WEIGHT: must be 0 or more, got -1"),
        (["USL.CROSS.DIRECTION", "v2i"], r"USL\.CROSS\.DIRECTION.*available: alternate, both, r2v, v2r"),
    ],
)
def test_wrong_keys_are_one_error(overrides: list[str], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        build_model(small_cfg("SYSU/pgm.yml", *overrides))


def test_clusters_without_a_partner_are_left_out_of_the_cross_loss() -> None:
    """The released code stops with an error; here such rows have no cross loss and change no memory."""
    model = network_of_features()
    nobody = {name: np.full(size, NONE) for name, size in (("r2i", 12), ("i2r", 9))}
    model.begin_epoch(epoch_of(*phase_start(PHASE), 0, nobody))
    losses, _ = step_of(model)
    assert losses["loss_cross"] == 0
    model.commit_memories()
    plain = network_of_features()
    plain.begin_epoch(epoch_of(*phase_start(PHASE)))
    step_of(plain)
    plain.commit_memories()
    assert all(torch.equal(memories(model)[name], rows) for name, rows in memories(plain).items())
