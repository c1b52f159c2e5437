from fastreid.config import get_cfg as fastreid_get_cfg
from fastreid.config.config import CfgNode
from vireid_plugins.config.reference import keys


def flat(node: CfgNode, prefix: str = "") -> dict[str, object]:
    found: dict[str, object] = {}
    for name, value in node.items():
        found |= flat(value, f"{prefix}{name}.") if isinstance(value, CfgNode) else {f"{prefix}{name}": value}
    return found


def test_keys_have_every_key_with_its_default_and_a_comment() -> None:
    every, found = flat(fastreid_get_cfg()), keys()
    assert len(found) == len({key.name for key in found}) > 100
    for key in found:
        assert key.default == repr(every[key.name])
        assert len(key.about) > 3, key.name
    # Nodes that are this package's alone have no key that is left out.
    named = {key.name for key in found}
    for prefix in (
        "MODEL.STREAMS.",
        "MODEL.ATTENTION.",
        "MODEL.IDKL.",
        "MODEL.WRIM.",
        "INPUT.VIEWS.",
        "DATASETS.SYSU.",
    ):
        assert {name for name in every if name.startswith(prefix)} <= named
    for node in ("QCT", "TGSA", "CSA", "MDR", "PURIFIER", "CMKIC"):
        assert {name for name in every if name.startswith(f"MODEL.LOSSES.{node}.")} <= named
