"""What a head takes from its pooling."""

import pytest
from fastreid.modeling.meta_arch import build_model
from helpers import batch, small_cfg

from vireid_plugins.errors import ConfigError


@pytest.mark.parametrize("training", [True, False])
def test_branch_head_of_a_pooling_that_leaves_a_map_is_one_error(training: bool) -> None:
    """Outside of training the map would be a feature of C x H x W values, without a word."""
    cfg = small_cfg("SYSU/one_stream.yml", "MODEL.HEADS.POOL_LAYER", "Identity", "MODEL.HEADS.NUM_CLASSES", "4")
    model = build_model(cfg).train(training)
    with pytest.raises(ConfigError, match=r"MODEL\.HEADS\.POOL_LAYER: Identity leaves maps of 4 x 2 positions, .*"):
        model(batch(4, 2))
