from dataclasses import dataclass
from typing import Any

import pytest
import yaml
from fastreid.config import defaults
from fastreid.config import get_cfg as fastreid_get_cfg

from vireid_plugins.config import get_cfg, keys
from vireid_plugins.config.keys import Key, KeyedRegistry, declare, declare_table, snake_case
from vireid_plugins.errors import ConfigError


@pytest.fixture(autouse=True)
def scratch(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a test declares is gone after it."""
    monkeypatch.setattr(defaults, "_C", defaults._C.clone())
    monkeypatch.setattr(keys, "_DECLARED", dict(keys._DECLARED))


def default(name: str) -> Any:
    value = fastreid_get_cfg()
    for part in name.split("."):
        value = value[part]
    return value


class Base:
    """What options share.

    Args:
        scale: weight.
        form: one of two.
    """

    def __init__(self, *, scale: float = 1.0, form: str = "a") -> None: ...


class Derived(Base):
    """Options of a thing.

    Args:
        channels: not a key.
        stages: which stages,
            in order.
        form: another word for it.
        arguments: see `Base`.

    Raises:
        ConfigError: never.
    """

    def __init__(
        self, channels: int, *, stages: tuple[int, ...] = (1, 2), scale: float = 0.5, **arguments: Any
    ) -> None: ...  # fmt: skip


def test_keys_are_the_defaults_of_get_cfg_described_and_in_order() -> None:
    found = keys.keys()
    names = [key.name for key in found]
    assert names == sorted(set(names))
    assert len(names) > 100
    for key in found:
        assert default(key.name) == key.default, key.name
        assert len(key.about) > 1, key.name


@pytest.mark.parametrize("node", ["STREAMS", "ATTENTION", "WRIM", "IDKL", "MSCM", "DEEN", "ICRE"])
def test_keys_leave_out_none_of_the_nodes_that_are_this_packages(node: str) -> None:
    declared = {key.name for key in keys.keys(f"MODEL.{node}.")}

    def flat(tree: dict[str, Any], prefix: str) -> set[str]:
        return {
            name
            for key, value in tree.items()
            for name in (flat(value, f"{prefix}{key}.") if isinstance(value, dict) else {prefix + key})
        }

    assert flat(fastreid_get_cfg().MODEL[node], f"MODEL.{node}.") == declared


@pytest.mark.parametrize(
    ("pattern", "names"),
    [
        ("streams.c", ["MODEL.STREAMS.COUNT"]),
        ("QCT.*A", ["MODEL.LOSSES.QCT.MARGIN", "MODEL.LOSSES.QCT.QUAD_WEIGHT", "MODEL.LOSSES.QCT.SCALE"]),
        ("NOTHING", []),
    ],
)
def test_keys_of_a_pattern_are_those_that_contain_it(pattern: str, names: list[str]) -> None:
    assert [key.name for key in keys.keys(pattern)] == names


def test_declare_takes_keyword_only_parameters_and_those_of_base_classes() -> None:
    declare("MODEL.THING", Derived)
    assert keys.keys("MODEL.THING.") == [
        Key("MODEL.THING.FORM", "a", "another word for it."),
        Key("MODEL.THING.SCALE", 0.5, "weight."),
        Key("MODEL.THING.STAGES", [1, 2], "which stages, in order."),
    ]
    assert keys.arguments(get_cfg().MODEL.THING) == {"form": "a", "scale": 0.5, "stages": [1, 2]}


def test_declare_takes_a_dataclass() -> None:
    @dataclass(frozen=True, kw_only=True)
    class Options:
        """Options.

        Args:
            depth: how deep.
        """

        depth: int = 3

    declare("MODEL.DEEP", Options)
    assert keys.keys("DEEP") == [Key("MODEL.DEEP.DEPTH", 3, "how deep.")]


def test_declare_of_a_parameter_without_a_line_is_an_error() -> None:
    class Undocumented:
        """A thing.

        Args:
            left: described.
        """

        def __init__(self, *, left: int = 0, right: int = 0) -> None: ...

    with pytest.raises(
        ConfigError, match=r"MODEL\.X\.RIGHT: parameter 'right' of Undocumented needs a line under Args"
    ):
        declare("MODEL.X", Undocumented)


def test_declare_of_a_parameter_without_a_default_is_an_error() -> None:
    class Required:
        """A thing.

        Args:
            left: described.
        """

        def __init__(self, *, left: int) -> None: ...

    with pytest.raises(ConfigError, match=r"MODEL\.X\.LEFT: parameter 'left' of Required needs a default"):
        declare("MODEL.X", Required)


def test_declare_table_of_a_key_with_a_second_default_is_an_error() -> None:
    declare_table(Key("MODEL.STREAMS.COUNT", 1, "The same again."))
    with pytest.raises(ConfigError, match=r"MODEL\.STREAMS\.COUNT: already has the default 1; it cannot also have 2"):
        declare_table(Key("MODEL.STREAMS.COUNT", 2, "Another one."))


def test_declare_table_does_not_share_a_default_with_a_configuration() -> None:
    declare_table(Key("MODEL.LISTED", [1], "A list."))
    cfg = fastreid_get_cfg()
    cfg.MODEL.LISTED.append(2)
    assert default("MODEL.LISTED") == [1]
    assert yaml.safe_load(get_cfg().dump())["MODEL"]["LISTED"] == [1]


def test_keyed_registry_declares_what_it_registers() -> None:
    registry = KeyedRegistry("THINGS", "MODEL.THINGS")
    registry.register(Derived)
    assert registry.get("Derived") is Derived
    assert default("MODEL.THINGS.DERIVED.SCALE") == 0.5


@pytest.mark.parametrize(
    ("name", "snake"),
    [("LabelSmoothCE", "label_smooth_ce"), ("CMKIC", "cmkic"), ("NonLocal", "non_local"), ("MDRLoss", "mdr_loss")],
)
def test_snake_case_of_a_class_name(name: str, snake: str) -> None:
    assert snake_case(name) == snake


def test_keyed_registry_refuses_doubles_earlier_names_and_what_is_no_class() -> None:
    registry = KeyedRegistry("LOSS", "MODEL.LOSSES")

    class WRT:
        """A loss."""

    class Unheard:
        """A loss."""

    registry.register(Unheard)
    with pytest.raises(ConfigError, match="LOSS registry: 'Unheard' is registered already"):
        registry.register(Unheard)
    with pytest.raises(ConfigError, match=r"MODEL\.LOSSES\.WRT: is an earlier name of MODEL\.LOSSES\.WEIGHTED_TRIPLET"):
        registry.register(WRT)
    with pytest.raises(ConfigError, match="LOSS registry: '<lambda>' must be a class"):
        registry.register(lambda: None)
    assert list(registry._obj_map) == ["Unheard"]
