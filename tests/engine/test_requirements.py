import pytest
import torch
from fastreid.modeling.meta_arch import build_model
from helpers import small_cfg

from vireid_plugins.engine.requirements import require_test_size
from vireid_plugins.errors import ConfigError


@pytest.mark.parametrize(
    ("config", "size", "message"),
    [
        (
            "SYSU/saai.yml",
            "[96, 32]",
            r"^INPUT\.SIZE_TEST: gives a feature map of 6 x 2, but SAAI's position embedding",
        ),
        ("SYSU/deen.yml", "[80, 48]", r"^MODEL\.DEEN\.PNL_FOLD: the 5 x 3 positions .* INPUT\.SIZE_TEST"),
    ],
)
def test_require_test_size_of_a_network_that_takes_one_size_is_its_error(config: str, size: str, message: str) -> None:
    cfg = small_cfg(config, "INPUT.SIZE_TEST", size, "MODEL.HEADS.NUM_CLASSES", "4")
    with pytest.raises(ConfigError, match=message):
        require_test_size(build_model(cfg), cfg)


def test_require_test_size_changes_neither_network_nor_random_numbers() -> None:
    cfg = small_cfg("SYSU/agw.yml", "INPUT.SIZE_TEST", "[96, 48]", "MODEL.HEADS.NUM_CLASSES", "4")
    network = build_model(cfg).train()
    network.backbone.eval()
    modes = [module.training for module in network.modules()]
    before = {key: value.clone() for key, value in network.state_dict().items()}
    state = torch.get_rng_state()
    require_test_size(network, cfg)
    assert torch.equal(torch.get_rng_state(), state)
    assert all(torch.equal(value, before[key]) for key, value in network.state_dict().items())
    assert [module.training for module in network.modules()] == modes
