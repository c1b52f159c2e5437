import re
from pathlib import Path

import pytest
import torch

from vireid_plugins.config import load_config
from vireid_plugins.errors import ConfigError
from vireid_plugins.modeling.losses import build_losses


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


@pytest.mark.parametrize("overrides", [None, "SEED 3"])
def test_load_config_of_overrides_that_are_no_list_is_one_error(overrides: object) -> None:
    with pytest.raises(ConfigError, match="overrides: must be a list, KEY, value"):
        load_config("SYSU/wrim.yml", overrides)


@pytest.mark.parametrize("base", ["3", "[a.yml, 5]"])
def test_load_config_of_a_base_that_is_no_file_is_one_error(base: str, tmp_path: Path) -> None:
    (tmp_path / "a.yml").write_text("SEED: 1\n")
    (tmp_path / "b.yml").write_text(f"_BASE_: {base}\n")
    with pytest.raises(ConfigError, match=r"b\.yml': _BASE_ must be a file or a list of files, not [35]"):
        load_config(tmp_path / "b.yml")


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [("MODEL.LOSSES.NAME", names, "needs one or more different losses") for names in ("[]", "['QCT', 'QCT']")]
    + [("DATASETS.TESTS", "()", "needs one or more data sets")],
)
def test_load_config_or_the_network_refuses_an_empty_or_doubled_list(key: str, value: str, message: str) -> None:
    with pytest.raises(ConfigError, match=rf"{re.escape(key)}: {message}"):
        build_losses(load_config("SYSU/wrim.yml", [key, value]))


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["SOLVER.SCHED", "CosineAnnealingLR", "SOLVER.BASE_LR", "0.0"], "BASE_LR: must be above 0 with SOLVER.SCHED"),
        (["INPUT.SIZE_TRAIN", "{[]: 1}"], r"'INPUT\.SIZE_TRAIN': unhashable"),
    ],
)
def test_load_config_of_a_value_that_cannot_be_names_its_key(overrides: list[str], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        load_config("SYSU/wrim.yml", overrides)


def test_load_config_for_a_device_that_the_machine_lacks_names_the_key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    assert load_config("SYSU/wrim.yml", ["MODEL.DEVICE", "cuda:1"]).MODEL.DEVICE == "cuda:1"
    with pytest.raises(ConfigError, match=r"MODEL\.DEVICE: torch finds 2 CUDA devices, but not 'cuda:2'"):
        load_config("SYSU/wrim.yml", ["MODEL.DEVICE", "cuda:2"])
