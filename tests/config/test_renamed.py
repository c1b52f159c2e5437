"""Names of earlier releases in a file, on the command line, in a saved configuration and in a checkpoint."""

from pathlib import Path
from typing import Any

import pytest
from helpers import small_cfg

from vireid_plugins.config import CfgNode, get_cfg, load_config, renamed
from vireid_plugins.config.node import differences
from vireid_plugins.config.renamed import LOGGED, REMOVED, RENAMED, RENAMED_VALUES
from vireid_plugins.engine.provenance import check_resumed
from vireid_plugins.errors import ConfigError
from vireid_plugins.modeling.losses import LOSS_REGISTRY
from vireid_plugins.modeling.losses.base import build_losses

OLD = """
MODEL:
  ATTENTION: {NONLOCAL: {INNER: 1}}
  LOSSES:
    NAME: [HeteroCentre, LabelSmoothCE, Purifier]
    WRT: {SCALE: 0.5, RELEASED_EPS: True}
    LABEL_SMOOTH_CE: {ON: []}
  WRIM: {AUX_PARTS: 0}
"""
MESSAGES = [
    "'MODEL.ATTENTION.NONLOCAL' is now called 'MODEL.ATTENTION.NON_LOCAL'",
    "MODEL.LOSSES.NAME: 'HeteroCentre' is now called 'HeteroCenter'",
    "MODEL.LOSSES.NAME: 'Purifier' is now called 'Purification'",
    "'MODEL.LOSSES.WRT' is now called 'MODEL.LOSSES.WEIGHTED_TRIPLET'",
]


@pytest.fixture
def said(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The warnings about old names, in order."""
    lines: list[str] = []
    monkeypatch.setattr(renamed.logger, "warning", lambda text, *values: lines.append(text % values))
    return lines


def values(cfg: CfgNode) -> list[Any]:
    losses = cfg.MODEL.LOSSES
    weighted = losses.WEIGHTED_TRIPLET
    return [cfg.MODEL.ATTENTION.NON_LOCAL.INNER, list(losses.NAME), weighted.SCALE, weighted.RELEASED_EPS]


def as_before(cfg: CfgNode) -> str:
    """The dumped configuration as the release before the new names would have dumped it."""
    text: str = cfg.dump()
    nodes = {new.rpartition(".")[2]: old.rpartition(".")[2] for old, new in RENAMED.items()}
    for new, old in (nodes | {"Purification": "Purifier", "HeteroCenter": "HeteroCentre"}).items():
        text = text.replace(f"{new}:", f"{old}:").replace(f"- {new}\n", f"- {old}\n")
    return text.replace("  WRIM:\n", "  WRIM:\n    AUX_PARTS: 0\n").replace("    WRT:\n", "    WRT:\n      'ON': []\n")


def test_merge_from_file_with_old_names_takes_them_and_says_each_new_one_once(tmp_path: Path, said: list[str]) -> None:
    (tmp_path / "old.yml").write_text(OLD)
    cfg = get_cfg()
    cfg.merge_from_file(tmp_path / "old.yml")
    assert values(cfg) == [1, ["HeteroCenter", "LabelSmoothCE", "Purification"], 0.5, True]
    assert said == [f"config file '{tmp_path / 'old.yml'}': {message}" for message in MESSAGES]


def test_load_config_with_old_names_on_the_command_line_takes_them(said: list[str]) -> None:
    words = ["MODEL.LOSSES.WRT.SCALE", "0.5", "MODEL.LOSSES.WRT.RELEASED_EPS", "True", "MODEL.WRIM.AUX_PARTS", "0"]
    words += ["MODEL.LOSSES.NAME", "['HeteroCentre']", "MODEL.ATTENTION.NONLOCAL.INNER", "1"]
    cfg = load_config("SYSU/agw.yml", [*words, "MODEL.LOSSES.QCT.ON", "[]"])
    assert values(cfg) == [1, ["HeteroCenter"], 0.5, True]
    expected = [f"command line: {message}" for message in MESSAGES if "Purifier" not in message]
    assert sorted(said) == sorted(expected)


def test_merge_from_file_of_a_saved_configuration_with_old_names_gives_todays(tmp_path: Path) -> None:
    now = small_cfg("SYSU/idkl.yml")
    old = as_before(now)
    for name in ("NONLOCAL", "WRT", "ESD", "HETERO_CENTRE", "AUX_PARTS", "- Purifier"):
        assert name in old
    (tmp_path / "config.yaml").write_text(old)
    cfg = get_cfg()
    cfg.merge_from_file(tmp_path / "config.yaml")
    assert cfg.dump() == now.dump()
    assert build_losses(cfg)


def test_check_resumed_of_a_checkpoint_with_old_names_finds_no_difference(
    said: list[str], log: pytest.LogCaptureFixture
) -> None:
    now = small_cfg("SYSU/idkl.yml")
    kind = {"meta_architecture": "IDKL", "datasets": [], "num_classes": 1, "images": 1, "digest": ""}
    check_resumed("old.pth", {"config": as_before(now)}, {**kind, "config": now.dump()})
    assert not said
    assert not [text for text in log.messages if "other keys" in text]


def test_differences_of_a_removed_key_that_was_used_says_so() -> None:
    now = get_cfg().dump()
    then = as_before(get_cfg()).replace("AUX_PARTS: 0", "AUX_PARTS: 2")
    assert differences(then, now) == ["MODEL.WRIM.AUX_PARTS: 2 -> absent"]


BOTH = (
    "'MODEL.LOSSES.ESD.GAMMA' and 'MODEL.LOSSES.SQUARED_DIFFERENCE_TRIPLET.GAMMA' are the same key but have different "
    "values"
)


def test_merge_from_file_of_both_names_with_different_values_is_one_error(tmp_path: Path) -> None:
    text = "MODEL: {LOSSES: {ESD: {GAMMA: 2.0}, SQUARED_DIFFERENCE_TRIPLET: {GAMMA: 3.0}}}"
    (tmp_path / "a.yml").write_text(text)
    with pytest.raises(ConfigError, match=rf"a\.yml': {BOTH}, 2\.0 and 3\.0"):
        get_cfg().merge_from_file(tmp_path / "a.yml")


def test_merge_from_list_of_both_names_with_different_values_is_one_error() -> None:
    new = "MODEL.LOSSES.SQUARED_DIFFERENCE_TRIPLET.GAMMA"
    with pytest.raises(ConfigError, match=rf"command line: {BOTH}, '2\.0' and '3\.0'"):
        get_cfg().merge_from_list(["MODEL.LOSSES.ESD.GAMMA", "2.0", new, "3.0"])


def test_merge_of_both_names_with_one_value_takes_it() -> None:
    cfg = get_cfg()
    new = "MODEL.LOSSES.SQUARED_DIFFERENCE_TRIPLET.GAMMA"
    cfg.merge_from_list(["MODEL.LOSSES.ESD.GAMMA", "2.0", new, "2.0"])
    assert cfg.MODEL.LOSSES.SQUARED_DIFFERENCE_TRIPLET.GAMMA == 2


@pytest.mark.parametrize("key", REMOVED)
def test_merge_of_a_removed_key_with_another_value_is_one_error(key: str, said: list[str]) -> None:
    cfg = get_cfg()
    before = cfg.dump()
    cfg.merge_from_list([key, str(REMOVED[key].default)])
    assert not said
    value = "['a']" if isinstance(REMOVED[key].default, list) else "2"
    with pytest.raises(ConfigError, match=f"'{key}' no longer exists and cannot be .*leave the key out"):
        cfg.merge_from_list([key, value])
    assert cfg.dump() == before


@pytest.mark.parametrize(("name", "count"), [("build_dual_stream_backbone", 2), ("build_quadruple_stream_backbone", 4)])
def test_merge_of_a_removed_backbone_says_what_to_set(name: str, count: int, tmp_path: Path) -> None:
    (tmp_path / "a.yml").write_text(f"MODEL: {{BACKBONE: {{NAME: {name}}}}}")
    with pytest.raises(ConfigError, match=rf"a\.yml.*'{name}' no longer exists; .*STREAMS\.COUNT to {count}"):
        get_cfg().merge_from_file(tmp_path / "a.yml")


def test_renamed_leads_to_what_exists() -> None:
    for new in RENAMED.values():
        node = get_cfg()
        for part in new.split("."):
            node = node[part]
    assert set(RENAMED_VALUES["MODEL.LOSSES.NAME"].values()) <= set(LOSS_REGISTRY._obj_map)
    loss = {f"loss_{name.lower()}" for name in get_cfg().MODEL.LOSSES}
    assert {new for old, new in LOGGED.items() if old.count("_") == 1} - loss == {
        "loss_cross_entropy_loss",
        "loss_triplet_loss",
        "loss_circle_loss",
    }


def test_merge_of_a_removed_key_or_value_names_it_as_it_was_given() -> None:
    with pytest.raises(ConfigError, match=r"'MODEL\.LOSSES\.WRT\.ON' no longer exists"):
        get_cfg().merge_from_list(["MODEL.LOSSES.WRT.ON", "['a']"])
    with pytest.raises(
        ConfigError, match=r"MODEL\.STREAMS\.BACKBONE: .*the backbone that is cut, .*STREAMS\.COUNT to 2"
    ):
        get_cfg().merge_from_list(["MODEL.STREAMS.BACKBONE", "build_dual_stream_backbone"])
