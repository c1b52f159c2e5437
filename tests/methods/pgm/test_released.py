"""Steps against memories are those of PGM's public code, from given features."""

import pytest
from cluster_inputs import assert_phase_equals, fixture, phase_start


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
