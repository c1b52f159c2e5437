"""Names and patterns of protocols."""

import pytest

from vireid_plugins.errors import ConfigError
from vireid_plugins.evaluation.protocols import PROTOCOLS, protocols_of, require_protocols, select_protocols


def names(protocols: list) -> list[str]:
    return [one.name for one in protocols]


def test_require_protocols_takes_patterns_in_the_order_of_protocols_and_each_once() -> None:
    assert names(require_protocols(["sysu/agw/*"])) == ["sysu/agw/all/1shot", "sysu/agw/indoor/1shot"]
    chosen = names(require_protocols(["sysu/agw/indoor/1shot", "sysu/*/1shot", "regdb/[vi]2v"]))
    assert chosen[0] == "sysu/agw/indoor/1shot"
    assert len(chosen) == len(set(chosen))
    assert set(chosen) == {n for n in PROTOCOLS if n.startswith("sysu/") and n.endswith("/1shot")} | {"regdb/i2v"}
    assert names(require_protocols(["*"])) == list(PROTOCOLS)


@pytest.mark.parametrize("pattern", ["sysuu/*", "SYSU/*", "regdb/?"])
def test_require_protocols_with_a_pattern_that_matches_none_lists_the_names(pattern: str) -> None:
    with pytest.raises(ConfigError) as caught:
        require_protocols(["regdb/v2i", pattern])
    assert f"unknown value '{pattern}'" in str(caught.value)
    assert all(name in str(caught.value) for name in PROTOCOLS)


def test_select_protocols_of_a_pattern_leaves_out_the_validation_identities_unless_they_are_meant() -> None:
    of_sysu = names(protocols_of("SYSUMM01", []))
    assert names(select_protocols(["sysu/*"], None)) == of_sysu
    assert names(select_protocols(["sysu/v*"], None)) == ["sysu/val/1shot"]
    assert names(select_protocols(["sysu/val/1shot"], None)) == ["sysu/val/1shot"]
    with pytest.raises(ConfigError, match="belong to several data sets"):
        select_protocols(["sysu/*", "sysu/val/1shot"], None)
    with pytest.raises(ConfigError, match="belong to several data sets"):
        select_protocols(["*"], None)


def test_protocols_of_a_data_set_are_those_that_a_pattern_matches() -> None:
    assert names(protocols_of("SYSUMM01Val", ["sysu/*"])) == ["sysu/val/1shot"]
    assert names(protocols_of("RegDB", ["*/v2i"])) == ["regdb/v2i"]


def test_require_protocols_stands_for_open_sets_only_with_open_at_its_end() -> None:
    assert names(require_protocols(["sysu/*/open"])) == [f"{name}/open" for name in PROTOCOLS if name[:5] == "sysu/"]
    assert not [one for one in require_protocols(["*", "sysu/*", "*o*"]) if one.enrollments]
    both = require_protocols(["regdb/v2i/open", "regdb/v2i"])
    assert [(one.name, one.enrollments) for one in both] == [("regdb/v2i/open", 10), ("regdb/v2i", 0)]
    assert names(select_protocols(["sysu/*/open"], None)) == [f"{n}/open" for n in names(protocols_of("SYSUMM01", []))]
    with pytest.raises(ConfigError, match=r"'regdb/v2j/open'; .*sysu/val/1shot; each also as NAME/open \(did you mean"):
        require_protocols(["regdb/v2j/open"])
