"""Steps against memories are those of PGM's public code, from given features and of the whole network."""

import pytest
import torch
from cluster_inputs import assert_network_equals, assert_phase_equals, epoch_of, fixture, network_start, phase_start

from vireid_plugins.methods.pgm import PGM


def test_stage1_equals_released_steps() -> None:
    assert_phase_equals("pgm stage1", "stage1", 0, {}, phase_start("pgm stage1"))


@pytest.mark.parametrize("epoch", [0, 1])
@pytest.mark.parametrize("case", ["sysu_more", "regdb_more", "regdb_fewer", "sysu_fewer"])
def test_stage2_equals_released_steps(case: str, epoch: int) -> None:
    phase = f"pgm stage2_{case}"
    # With fewer visible clusters the code for SYSU-MM01 associates nothing.
    names = () if case == "sysu_fewer" else ("r2i", "i2r")
    association = {name: fixture("pgm")[f"d_{case}_{name}"] for name in names}
    assert_phase_equals(phase, f"stage2_{case}_epoch{epoch}", epoch, association, phase_start(phase))


@pytest.mark.slow
@pytest.mark.parametrize("epoch", [0, 1])
def test_network_equals_released_trajectory(epoch: int) -> None:
    memories = dict(zip(("visible", "infrared"), map(torch.from_numpy, network_start()), strict=True))
    association, _ = PGM()({}, {}, memories)
    state = epoch_of(*network_start(), epoch, {name: partners.numpy() for name, partners in association.items()})
    assert_network_equals("pgm", f"stage2_sysu_epoch{epoch}", "SYSU/pgm.yml", state, steps=4)
