import random
from pathlib import Path

import numpy as np
import torch
from helpers import small_cfg

from vireid_plugins.engine.seed import seeded


def drawn() -> tuple[float, float, float]:
    return random.random(), float(np.random.rand()), float(torch.rand(()))


def test_seeded_sets_every_generator_and_keeps_the_configuration() -> None:
    cfg = small_cfg("SYSU/one_stream.yml", "SEED", "3")
    assert seeded(cfg) is cfg
    first = drawn()
    seeded(cfg)
    assert drawn() == first
    seeded(small_cfg("SYSU/one_stream.yml", "SEED", "4"))
    assert drawn() != first


def test_seeded_with_a_negative_seed_draws_one_into_a_copy() -> None:
    cfg = small_cfg("SYSU/one_stream.yml", "SEED", "-1")
    with_seed = seeded(cfg)
    assert cfg.SEED == -1
    assert with_seed.SEED >= 0
    first = drawn()
    seeded(with_seed)
    assert drawn() == first


def test_seeded_in_the_first_of_several_stages_takes_the_seed_that_the_run_has_drawn(tmp_path: Path) -> None:
    """The folder of the run has no configuration before the last stage."""
    cfg = small_cfg("own/adca.yml", "SEED", "-1", "OUTPUT_DIR", str(tmp_path))
    (tmp_path / "stage1").mkdir()
    (tmp_path / "stage1" / "config.yaml").write_text("SEED: 20261129\n")
    assert seeded(cfg, resume=True).SEED == 20261129
    assert seeded(cfg).SEED != 20261129
