"""A run of several trainings: what each changes, and where it starts from."""

import pytest
from helpers import SMALL

from vireid_plugins.config import load_config
from vireid_plugins.config.stages import stages_of
from vireid_plugins.errors import ConfigError

APART = ["DATALOADER.APART.IDENTITIES", "[2, 3]", "SOLVER.IMS_PER_BATCH", "10"]


@pytest.mark.parametrize("name", ["SYSU/adca.yml", "SYSU/pgm.yml", "RegDB/adca.yml", "RegDB/pgm.yml"])
def test_stages_of_a_config_are_its_first_stage_and_itself(name: str) -> None:
    folder = ["OUTPUT_DIR", "out", *SMALL, *APART]
    cfg = load_config(name, folder)
    before = cfg.dump()
    first, last = stages_of(cfg)
    assert cfg.dump() == before
    assert (first.OUTPUT_DIR, last.OUTPUT_DIR) == ("out/stage1", "out")
    assert (first.MODEL.WEIGHTS, last.MODEL.WEIGHTS) == ("", "out/stage1/model_final.pth")
    # The first stage alone is a config of its own.
    alone = load_config(name.replace(".yml", "_stage1.yml"), folder)
    assert stages_of(alone) == [alone]
    first.OUTPUT_DIR = alone.OUTPUT_DIR
    assert first == alone
    assert last.USL.ASSOCIATE.NAME
    assert not first.USL.ASSOCIATE.NAME


def test_stages_start_from_the_best_epoch_if_asked_to() -> None:
    stages = stages_of(load_config("SYSU/adca.yml", [*SMALL, *APART, "OUTPUT_DIR", "out", "USL.NEXT_FROM", "best"]))
    assert stages[1].MODEL.WEIGHTS == "out/stage1/model_best.pth"


@pytest.mark.parametrize(
    ("overrides", "text"),
    [
        (["USL.STAGES", "[['USL.MEMORY.RULE'], []]"], "stage 1 is \\['USL.MEMORY.RULE'\\]"),
        (["USL.STAGES", "[[], 'adca.yml']"], "stage 2 is 'adca.yml'"),
        (["USL.STAGES", "[['USL.NEXT_FROM', 'best'], []]"], "stage 1 sets USL.NEXT_FROM"),
        (["USL.STAGES", "[['USL.MEMORY.RUEL', 'mean'], []]"], "USL.STAGES, stage 1: .*USL.MEMORY.RUEL"),
        (["USL.STAGES", "[['OUTPUT_DIR', 'there'], []]"], "stage 1 sets OUTPUT_DIR"),
        (["USL.STAGES", "[['SOLVER.MAX_EPOCH', 0], []]"], "SOLVER.MAX_EPOCH: must be at least 1"),
        (["USL.NEXT_FROM", "last"], "USL.NEXT_FROM: unknown value 'last'"),
    ],
)
def test_stages_with_a_wrong_key_or_value_are_one_error(overrides: list[str], text: str) -> None:
    with pytest.raises(ConfigError, match=text):
        load_config("SYSU/adca.yml", [*SMALL, *APART, *overrides])


def test_stages_from_the_best_epoch_without_a_test_set_are_one_error() -> None:
    with pytest.raises(ConfigError, match=r"USL\.NEXT_FROM: best needs a test set \(DATASETS\.TESTS\).*; use final"):
        stages_of(load_config("own/adca.yml", [*SMALL, *APART, "USL.NEXT_FROM", "best"]))
