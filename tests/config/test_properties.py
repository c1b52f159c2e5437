"""Whatever is written into a configuration, it is taken or refused with one error, and nothing runs."""

import copy
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from vireid_plugins.config import CfgNode, check_config, get_cfg
from vireid_plugins.config.node import differences
from vireid_plugins.errors import ConfigError

CFG = get_cfg()
CFG.MODEL.DEVICE = "cpu"


def keys(node: CfgNode, before: str = "") -> list[str]:
    return [
        name
        for key, value in node.items()
        for name in (keys(value, f"{before}{key}.") if isinstance(value, CfgNode) else [before + key])
    ]


KEYS = keys(CFG)
SCALARS = st.one_of(st.none(), st.booleans(), st.integers(-3, 3), st.floats(allow_nan=False), st.text(max_size=8))
VALUES = st.recursive(SCALARS, lambda inner: st.lists(inner, max_size=3), max_leaves=5)


@settings(deadline=None)
@given(st.lists(st.tuples(st.sampled_from(KEYS), VALUES.map(repr)), max_size=4))
def test_check_config_of_any_overrides_takes_or_refuses_them(pairs: list[tuple[str, str]]) -> None:
    cfg = copy.deepcopy(CFG)
    try:
        cfg.merge_from_list([word for pair in pairs for word in pair])
        check_config(cfg)
    except ConfigError as error:
        assert str(error)
        return
    again = get_cfg()
    again.merge_from_text(cfg.dump(), "what was dumped")
    assert differences(again.dump(), cfg.dump()) == []


@settings(deadline=None)
@given(st.one_of(st.text(max_size=60), st.text("SEDMOL.:[]{}!&*-'\"\n #%@`|>,?0a", max_size=60)))
def test_merge_from_text_of_any_text_takes_or_refuses_it(text: str) -> None:
    cfg: Any = copy.deepcopy(CFG)
    try:
        cfg.merge_from_text(text, "the text")
    except ConfigError as error:
        assert "the text" in str(error)


@settings(deadline=None)
@given(st.lists(st.text(max_size=12), max_size=4))
def test_merge_from_list_of_any_words_takes_or_refuses_them(words: list[str]) -> None:
    try:
        copy.deepcopy(CFG).merge_from_list(words)
    except ConfigError as error:
        assert str(error)
