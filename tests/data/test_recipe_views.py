"""Every view of every shipped config."""

import numpy as np
import pytest

from vireid_plugins.config import load_config
from vireid_plugins.config.paths import shipped_configs
from vireid_plugins.data.transforms import build_view

CONFIGS = [f"{folder}/{name}.yml" for folder, names in shipped_configs().items() for name in names]


@pytest.mark.parametrize("config", CONFIGS)
def test_views_of_a_recipe_stay_near_the_scale_of_pixels(config: str) -> None:
    """An image that is not normalized, and then scaled back, is tens of times larger.

    Normal noise, and channels that are exchanged after they are normalized, leave 0..255 by less.
    """
    cfg = load_config(config, ["SOLVER.AMP.ENABLED", "False"])
    views, first = cfg.INPUT.VIEWS, cfg.INPUT.FIRST_VIEWS
    chains = [*views.VISIBLE, *views.INFRARED, *first.VISIBLE, *first.INFRARED]
    image = np.random.default_rng(0).integers(0, 256, (64, 32, 3), dtype=np.uint8)
    assert chains
    for chain in chains:
        view = build_view(cfg, chain)
        for seed in range(20):
            found = view(image, np.random.default_rng(seed))
            assert -255 <= found.min() <= found.max() <= 2 * 255, chain
