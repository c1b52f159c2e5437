from pathlib import Path

import pytest
import yaml
from helpers import CONFIGS

from vireid_plugins.config import check_config, config_path, get_cfg
from vireid_plugins.errors import ConfigError


def write(folder: Path, name: str, text: str) -> Path:
    (folder / name).write_text(text)
    return folder / name


def test_merge_from_file_with_bases_merges_them_in_order_and_the_file_last(tmp_path: Path) -> None:
    write(tmp_path, "a.yml", "SOLVER: {MAX_EPOCH: 3, BASE_LR: 0.1}\n")
    write(tmp_path, "b.yml", "SOLVER: {MAX_EPOCH: 4}\n")
    cfg = get_cfg()
    cfg.merge_from_file(write(tmp_path, "c.yml", "_BASE_: [a.yml, b.yml]\nSOLVER: {STEPS: [1]}\n"))
    assert (cfg.SOLVER.MAX_EPOCH, cfg.SOLVER.BASE_LR, list(cfg.SOLVER.STEPS)) == (4, 0.1, [1])


def test_merge_from_file_with_the_key_on_keeps_it_a_key(tmp_path: Path) -> None:
    cfg = get_cfg()
    cfg.merge_from_file(write(tmp_path, "a.yml", "MODEL: {LOSSES: {HARD_TRIPLET: {ON: [Q_g]}}}\n"))
    assert cfg.MODEL.LOSSES.HARD_TRIPLET.ON == ["Q_g"]
    assert yaml.safe_load(cfg.dump())["MODEL"]["LOSSES"]["HARD_TRIPLET"]["ON"] == ["Q_g"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("MODEL: {STREMS: {COUNT: 2}}", r"a\.yml'.*unknown key 'MODEL.STREMS' \(did you mean 'MODEL.STREAMS'\?\)"),
        ("MODEL: {STREAMS: {COUNT: two}}", r"a\.yml'.*MODEL.STREAMS.COUNT"),
        ("SOLVER: {MAX_EPOCH: {X: 1}}", r"a\.yml'.*'SOLVER.MAX_EPOCH' is a value"),
        ("MODEL: [", r"a\.yml' is not valid YAML"),
        ("- 1", r"a\.yml' must hold keys and values, not list"),
        ("_BASE_: gone.yml", r"gone\.yml' cannot be read"),
        ("_BASE_: a.yml", r"a\.yml' is its own _BASE_"),
        ("MODEL: !!python/object/apply:os.getcwd []", r"a\.yml' is not valid YAML"),
    ],
)
def test_merge_from_file_with_a_mistake_is_one_error_that_names_the_file(
    tmp_path: Path, text: str, message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        get_cfg().merge_from_file(write(tmp_path, "a.yml", text))


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["MODEL.DEVICE"], "in pairs"),
        (["MODEL.DEVISE", "cpu"], "did you mean 'MODEL.DEVICE'"),
        (["SOLVER.MAX_EPOCH", "ten"], "SOLVER.MAX_EPOCH"),
        (["OUTPUT", "x"], "unknown key 'OUTPUT'.*did you mean 'OUTPUT_DIR'.*available at the top level: "),
    ],
)
def test_merge_from_list_with_a_mistake_is_one_error(words: list[str], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        get_cfg().merge_from_list(words)


@pytest.mark.parametrize(
    ("key", "value", "listed"),
    [
        ("DATASETS.NAMES", "('SYSU',)", "SYSUMM01"),
        ("DATASETS.TESTS", "('Market',)", "Market1501"),
        ("MODEL.META_ARCHITECTURE", "WRIM", "WRIMNet"),
        ("MODEL.BACKBONE.NAME", "resnet", "build_multi_stream_backbone"),
        ("MODEL.STREAMS.BACKBONE", "resnet", "build_resnet_backbone"),
        ("MODEL.HEADS.NAME", "Head", "BranchHead"),
        ("SOLVER.AMP.DTYPE", "half", "bfloat16"),
        ("SOLVER.SCHED", "Step", "MultiStepLR"),
        ("DATASETS.SYSU.TRAIN", "all", "trainval"),
        ("TEST.EVAL_PERIOD", "0", "at least 1"),
        ("SOLVER.CHECKPOINT_PERIOD", "0", "at least 1"),
        ("INPUT.FLIP.ENABLED", "True", "INPUT.VIEWS"),
        ("TEST.ROC.ENABLED", "True", "no VI-ReID paper reports ROC curves"),
        ("TEST.METRIC", "manhattan", "available: cosine, euclidean, inner_product"),
        ("DATASETS.COMBINEALL", "True", "set it to False"),
    ],
)
def test_check_config_of_an_unknown_name_or_number_lists_what_is_right(key: str, value: str, listed: str) -> None:
    cfg = get_cfg()
    cfg.merge_from_file(config_path("SYSU/wrim.yml"))
    cfg.merge_from_list([key, value])
    with pytest.raises(ConfigError, match=listed) as error:
        check_config(cfg)
    assert key in str(error.value)


def test_check_config_of_fp16_on_a_cpu_is_one_error() -> None:
    cfg = get_cfg()
    cfg.merge_from_list(["SOLVER.AMP.ENABLED", "True", "MODEL.DEVICE", "cpu"])
    cfg.merge_from_list(["DATASETS.NAMES", "('SYSUMM01',)"])
    with pytest.raises(ConfigError, match="bfloat16"):
        check_config(cfg)


@pytest.mark.parametrize("name", CONFIGS)
def test_check_config_takes_every_shipped_config(name: str) -> None:
    cfg = get_cfg()
    cfg.merge_from_file(config_path(name))
    if cfg.SOLVER.AMP.ENABLED and cfg.MODEL.DEVICE == "cpu":
        # The recipes with fp16 are for CUDA; a CPU is told what it can take.
        with pytest.raises(ConfigError, match="on a CPU use bfloat16"):
            check_config(cfg)
        cfg.SOLVER.AMP.DTYPE = "bfloat16"
    check_config(cfg)
    assert cfg.DATASETS.NAMES[0] == cfg.TEST.PRECISE_BN.DATASET


def test_config_path_of_a_missing_config_lists_the_shipped_ones() -> None:
    with pytest.raises(ConfigError, match=r"SYSU/wrim\.yml"):
        config_path("SYSU/rwim.yml")
