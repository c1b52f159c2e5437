"""Steps against memories are those of ADCA's public code, from given features."""

import torch
from cluster_inputs import assert_phase_equals, phase_start

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
