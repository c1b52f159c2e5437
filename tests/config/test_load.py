from pathlib import Path

import pytest

from vireid_plugins.config import load_config
from vireid_plugins.errors import ConfigError


@pytest.mark.parametrize("name", ["SYSU/wrim.yml", "configs/SYSU/wrim.yml", Path("configs/SYSU/wrim.yml")])
def test_load_config_of_a_shipped_name_or_a_file_is_the_same(name: str | Path) -> None:
    cfg = load_config(name, ["SOLVER.MAX_EPOCH", "3", "OUTPUT_DIR", "elsewhere"])
    assert (cfg.MODEL.META_ARCHITECTURE, cfg.SOLVER.MAX_EPOCH, cfg.OUTPUT_DIR) == ("WRIMNet", 3, "elsewhere")


def test_load_config_leaves_the_overrides_alone_and_the_next_configuration() -> None:
    overrides = ("DATASETS.SYSU.TRAIN", "train")
    cfg = load_config("SYSU/wrim.yml", overrides)
    assert cfg.DATASETS.TESTS == ("SYSUMM01Val", "SYSUMM01")
    assert load_config("SYSU/wrim.yml").DATASETS.TESTS == ("SYSUMM01",)
    assert overrides == ("DATASETS.SYSU.TRAIN", "train")


def test_load_config_checks_names_before_anything_is_built() -> None:
    with pytest.raises(ConfigError, match=r"MODEL\.META_ARCHITECTURE: unknown value 'WRIM'"):
        load_config("SYSU/wrim.yml", ["MODEL.META_ARCHITECTURE", "WRIM"])
