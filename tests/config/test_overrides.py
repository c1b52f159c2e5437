from pathlib import Path

import pytest

from vireid_plugins.config import get_cfg
from vireid_plugins.config.overrides import paired
from vireid_plugins.errors import ConfigError


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["OUTPUT_DIR", "x", "--resume"], "unknown flag '--resume'"),
        (["--data-root=x"], "unknown flag '--data-root=x'"),
        (["SEED", "1", "OUTPUT_DIR=my", "runs/x"], "'runs/x' is no key; .* the one before it is OUTPUT_DIR my; put"),
        (["OUTPUT_DIR="], "'OUTPUT_DIR=' has no value"),
        (
            ["out/model_0001.pth"],
            "'out/model_0001.pth' is no key; .* --resume takes no file and continues the run in OUT",
        ),
        (["out/model_0001.pth", "SEED", "1"], "MODEL.WEIGHTS FILE"),
        (["sysu.yml", "x"], "--config-file FILE"),
        (
            ["SEED", "MODEL.WEIGHTS", "a.pth"],
            "'a.pth' is no key; .* the one before it is SEED MODEL.WEIGHTS",
        ),
        (["SEED"], "'SEED' has no value; overrides are KEY value or KEY=value"),
        (["INPUT.VIEWS.VISIBLE", "Flip"], r"'INPUT.VIEWS.VISIBLE' is a list; a list of one value is \['Flip'\]"),
        (["TEST.PROTOCOLS", "[regdb/v2i]"], r"is a list; a list of one value is \['regdb/v2i'\]"),
        (["TEST.PROTOCOLS", "[regdb/v2i, 'regdb/i2v']"], r"quotes, in a shell \"\['regdb/v2i', 'regdb/i2v'\]\"; got"),
        (["USL.STAGES", "[[SEED, 1], []]"], r"whose texts need quotes, in a shell \"\[\['SEED', 1\], \[\]\]\""),
        (["TEST.PROTOCOLS", "5"], r"'TEST.PROTOCOLS' is a list; a list of one value is \[5\]"),
        (["SOLVER.STEPS", "30"], r"'SOLVER.STEPS' is a list; a list of one value is \[30\]"),
    ],
)
def test_overrides_with_a_mistake_say_how_to_write_them(words: list[str], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        get_cfg().merge_from_list(words)


def test_paired_takes_values_that_look_like_flags_or_assignments() -> None:
    assert paired(["A.B", "-1", "C", "x=y", "D", "--"]) == {"A.B": "-1", "C": "x=y", "D": "--"}
    assert paired(["A.B=-1", "C=x=y", "D", "E=1"]) == {"A.B": "-1", "C": "x=y", "D": "E=1"}
    cfg = get_cfg()
    cfg.merge_from_list(["SOLVER.STEPS", "30,55", "TEST.PROTOCOLS", "['regdb/v2i']", "DATASETS.NAMES", "()"])
    assert (list(cfg.SOLVER.STEPS), list(cfg.TEST.PROTOCOLS), list(cfg.DATASETS.NAMES)) == ([30, 55], ["regdb/v2i"], [])


@pytest.mark.parametrize("written", ["regdb/v2i", "'regdb/v2i'", "['regdb/v2i']", "sysu/*"])
def test_plain_word_for_a_list_of_texts_is_a_list_of_that_word(written: str, tmp_path: Path) -> None:
    """On a command line and in a file alike; a tuple stays a tuple."""
    word = written.strip("[]'")
    cfg = get_cfg()
    cfg.merge_from_list(["TEST.PROTOCOLS", written, "DATASETS.NAMES", "RegDB", "MODEL.ICRE.STAGES", "stage2"])
    assert ([word], ("RegDB",), ["stage2"]) == (cfg.TEST.PROTOCOLS, cfg.DATASETS.NAMES, cfg.MODEL.ICRE.STAGES)
    (tmp_path / "c.yml").write_text(f"LOGGERS: wandb\nTEST: {{PROTOCOLS: {written.replace('[', '[ ')}}}\n")
    cfg.merge_from_file(tmp_path / "c.yml")
    assert ([word], ["wandb"]) == (cfg.TEST.PROTOCOLS, cfg.LOGGERS)
