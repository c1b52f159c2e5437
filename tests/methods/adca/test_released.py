"""Steps against memories are those of ADCA's public code, from given features and of the whole network."""

from contextlib import nullcontext

import pytest
import torch
from cluster_inputs import assert_network_equals, assert_phase_equals, epoch_of, network_start, phase_start
from double import quick

from vireid_plugins.methods.adca import CMA

# Associated before the first step of stage 2.
AGGREGATED = ((0, 0), (3, 2), (5, 5), (7, 1))


def test_stage1_equals_released_steps() -> None:
    assert_phase_equals("adca stage1", "stage1", 0, {}, phase_start("adca stage1"))


def test_stage2_equals_released_steps() -> None:
    visible, infrared = phase_start("adca stage2")
    # One pair of equal images for each pair of clusters.
    labels = {name: torch.tensor(AGGREGATED)[:, m].numpy() for m, name in enumerate(("visible", "infrared"))}
    features = dict.fromkeys(labels, torch.eye(4, dtype=torch.float64).numpy())
    memories = {"visible": torch.from_numpy(visible), "infrared": torch.from_numpy(infrared)}
    _, mixed = CMA()(features, labels, memories)
    start = mixed["visible"].numpy(), mixed["infrared"].numpy()
    assert_phase_equals("adca stage2", "stage2", 0, {}, start)


@pytest.mark.parametrize("steps", [1, pytest.param(4, marks=pytest.mark.slow)])
def test_network_equals_released_trajectory(steps: int) -> None:
    with quick() if steps == 1 else nullcontext():
        assert_network_equals("adca", "stage1", "SYSU/adca_stage1.yml", epoch_of(*network_start()), steps)
