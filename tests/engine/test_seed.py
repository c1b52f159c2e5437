import random

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
