"""Names and patterns of protocols."""

from typing import Any

import pytest

from vireid_plugins.errors import ConfigError
from vireid_plugins.evaluation.protocols import PROTOCOLS, protocols_of, require_protocols, select_protocols


def names(protocols: list) -> list[str]:
    return [one.name for one in protocols]


# Queries to gallery, how ranks are counted, which images are excluded, which cameras, how images are drawn, of which
# side, how many of an identity and camera, and how often.
RULES = {
    "sysu/official/all/1shot": ("i2v", "distinct_id", "sysu", "all", "official", "gallery", 1, 10),
    "sysu/official/all/10shot": ("i2v", "distinct_id", "sysu", "all", "official", "gallery", 10, 10),
    "sysu/official/indoor/1shot": ("i2v", "distinct_id", "sysu", "indoor", "official", "gallery", 1, 10),
    "sysu/official/indoor/10shot": ("i2v", "distinct_id", "sysu", "indoor", "official", "gallery", 10, 10),
    "sysu/agw/all/1shot": ("i2v", "distinct_id", "sysu", "all", "seeded", "gallery", 1, 10),
    "sysu/agw/indoor/1shot": ("i2v", "distinct_id", "sysu", "indoor", "seeded", "gallery", 1, 10),
    "sysu/val/1shot": ("i2v", "distinct_id", "sysu", "val", "seeded", "gallery", 1, 10),
    "regdb/v2i": ("v2i", "ordinary", "none", "", "everything", "gallery", 0, 1),
    "regdb/i2v": ("i2v", "ordinary", "none", "", "everything", "gallery", 0, 1),
    "regdb/v2i/distinct_id": ("v2i", "distinct_id", "none", "", "everything", "gallery", 0, 1),
    "regdb/i2v/distinct_id": ("i2v", "distinct_id", "none", "", "everything", "gallery", 0, 1),
    "llcm/v2i": ("v2i", "distinct_id", "same_camera", "", "seeded", "gallery", 1, 10),
    "llcm/i2v": ("i2v", "distinct_id", "same_camera", "", "seeded", "gallery", 1, 10),
    "llcm/v2i_transposed": ("i2v", "distinct_id", "same_camera", "", "seeded", "query", 1, 10),
    "llcm/full/v2i": ("v2i", "distinct_id", "none", "", "everything", "gallery", 0, 1),
    "llcm/full/i2v": ("i2v", "distinct_id", "none", "", "everything", "gallery", 0, 1),
    "own/v2i": ("v2i", "ordinary", "none", "", "everything", "gallery", 0, 1),
    "own/i2v": ("i2v", "ordinary", "none", "", "everything", "gallery", 0, 1),
}


def test_protocols_have_the_rules_that_their_tables_are_printed_under() -> None:
    found = {
        name: (one.direction, one.cmc, one.drop, one.mode, one.draw, one.drawn, one.shots, one.trials)
        for name, one in PROTOCOLS.items()
    }
    assert found == RULES


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


@pytest.mark.parametrize("name", [1, None, b"sysu/*", ["sysu/agw/all/1shot"], ["*"], {1: 2}])
def test_require_protocols_with_a_name_that_is_no_text_is_one_error(name: Any) -> None:
    with pytest.raises(ConfigError, match=r"TEST\.PROTOCOLS: unknown value '.*'; available: llcm/"):
        require_protocols([name])


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
