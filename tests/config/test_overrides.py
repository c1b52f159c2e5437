import pytest

from vireid_plugins.config import get_cfg
from vireid_plugins.config.overrides import paired
from vireid_plugins.errors import ConfigError


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["OUTPUT_DIR", "x", "--resume"], "'--resume' is among the overrides; flags come before them"),
        (["SEED", "1", "--num-gpus", "2"], "'--num-gpus' is among the overrides"),
        (["--data-root=x"], "'--data-root=x' is among the overrides"),
        (["SOLVER.MAX_EPOCH=2"], "'SOLVER.MAX_EPOCH=2': a key and its value are two words: SOLVER.MAX_EPOCH 2"),
        (["SEED", "1", "OUTPUT_DIR=x", "y"], "OUTPUT_DIR x"),
        (
            ["out/model_0001.pth"],
            "'out/model_0001.pth' is no key; .* --resume takes no file and continues the run in OUT",
        ),
        (["out/model_0001.pth", "SEED", "1"], "MODEL.WEIGHTS FILE"),
        (["sysu.yml", "x"], "--config-file FILE"),
        (
            ["SEED", "MODEL.WEIGHTS", "a.pth"],
            "overrides come in pairs, KEY value; got 3 words: SEED MODEL.WEIGHTS a.pth",
        ),
        (["SEED"], "overrides come in pairs, KEY value; got 1 words: SEED"),
        (["TEST.PROTOCOLS", "regdb/v2i"], r"'TEST.PROTOCOLS' is a list; a list of one value is \['regdb/v2i'\]"),
        (["DATASETS.NAMES", "RegDB"], r"'DATASETS.NAMES' is a list; a list of one value is \['RegDB'\]"),
        (["SOLVER.STEPS", "30"], r"'SOLVER.STEPS' is a list; a list of one value is \[30\]"),
    ],
)
def test_overrides_with_a_mistake_say_how_to_write_them(words: list[str], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        get_cfg().merge_from_list(words)


def test_paired_takes_values_that_look_like_flags_or_assignments() -> None:
    assert paired(["A.B", "-1", "C", "x=y", "D", "--"]) == {"A.B": "-1", "C": "x=y", "D": "--"}
    cfg = get_cfg()
    cfg.merge_from_list(["SOLVER.STEPS", "30,55", "TEST.PROTOCOLS", "['regdb/v2i']", "DATASETS.NAMES", "()"])
    assert (list(cfg.SOLVER.STEPS), list(cfg.TEST.PROTOCOLS), list(cfg.DATASETS.NAMES)) == ([30, 55], ["regdb/v2i"], [])
