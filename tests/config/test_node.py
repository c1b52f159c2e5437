import os
from pathlib import Path

import pytest
import yaml
from helpers import CONFIGS

from vireid_plugins.config import check_config, config_path, get_cfg, node
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
        (
            "SOLVER: {SEED: 1}\nMODEL: {}\nSOLVER: {}\n",
            r"a\.yml' is not valid YAML: 'SOLVER' is given twice, on lines 1 and 3",
        ),
        ("_BASE_: twice.yml", r"twice\.yml' is not valid YAML: 'MODEL.DEVICE' is given twice, on lines 2 and 3"),
        ("_BASE_: 3", r"a\.yml': _BASE_ must be a file or a list of files, not 3"),
        ("_BASE_: [[b.yml]]", r"a\.yml': _BASE_ must be a file or a list of files, not \['b\.yml'\]"),
        ("_BASE_: pipe.yml", r"pipe\.yml' cannot be read: it is a pipe, not a regular file"),
        ("_BASE_: .", r"cannot be read: it is a folder, not a file"),
        ("SOLVER: 3", r"a\.yml': 'SOLVER' holds keys and cannot be set to a value"),
        ("SOLVER: {MAX_EPOCH: 99999999999999999999}", r"'SOLVER.MAX_EPOCH': the number is too large"),
        ("SOLVER: {BASE_LR: .inf}", r"'SOLVER.BASE_LR': must be a finite number"),
        ("SOLVER: {STEPS: [1, .nan]}", r"'SOLVER.STEPS': must be a finite number"),
        ('OUTPUT_DIR: "a\\0b"', r"'OUTPUT_DIR': the text holds a NUL character"),
    ],
)
def test_merge_from_file_with_a_mistake_is_one_error_that_names_the_file(
    tmp_path: Path, text: str, message: str
) -> None:
    write(tmp_path, "twice.yml", "MODEL:\n  DEVICE: cpu\n  DEVICE: cpu\n")
    os.mkfifo(tmp_path / "pipe.yml")
    with pytest.raises(ConfigError, match=message):
        get_cfg().merge_from_file(write(tmp_path, "a.yml", text))


def test_merge_from_file_that_is_not_utf8_is_one_error(tmp_path: Path) -> None:
    (tmp_path / "a.yml").write_bytes("OUTPUT_DIR: é".encode("latin-1"))
    with pytest.raises(ConfigError, match=r"a\.yml' is not valid YAML: it is not UTF-8"):
        get_cfg().merge_from_file(tmp_path / "a.yml")


@pytest.mark.parametrize("text", ["20261128", "2026-11-27", "0123", "yes", "1:30", "[a]", "None", "1e3", "'x"])
def test_merge_keeps_text_for_a_key_that_holds_text(tmp_path: Path, text: str) -> None:
    """From a command line, from YAML, and when a run's `config.yaml` is read again."""
    cfg = get_cfg()
    cfg.merge_from_list(["OUTPUT_DIR", text])
    assert text == cfg.OUTPUT_DIR
    again = get_cfg()
    again.merge_from_file(write(tmp_path, "a.yml", cfg.dump()))
    assert again == cfg
    if text[0] not in "['" and text != "None":
        plain = get_cfg()
        plain.merge_from_file(write(tmp_path, "b.yml", f"OUTPUT_DIR: {text}\n"))
        assert text == plain.OUTPUT_DIR


@pytest.mark.parametrize("word", ['"20261128"', "'20261128'"])
def test_merge_from_list_takes_quotes_off_text(word: str) -> None:
    cfg = get_cfg()
    cfg.merge_from_list(["OUTPUT_DIR", word])
    assert cfg.OUTPUT_DIR == "20261128"


def test_merge_takes_a_whole_number_for_a_key_that_holds_a_float(tmp_path: Path) -> None:
    cfg = get_cfg()
    cfg.merge_from_list(["SOLVER.BASE_LR", "1"])
    cfg.merge_from_file(write(tmp_path, "a.yml", "SOLVER: {WEIGHT_DECAY: 0}\n"))
    assert (cfg.SOLVER.BASE_LR, cfg.SOLVER.WEIGHT_DECAY) == (1.0, 0.0)
    assert isinstance(cfg.SOLVER.WEIGHT_DECAY, float)


def test_merge_from_file_reads_each_base_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A base of two bases is merged where it is named last, which equals merging it twice."""
    for name, text in {
        "d": "SOLVER: {MAX_EPOCH: 1, BASE_LR: 0.1}",
        "b": "_BASE_: d.yml\nSOLVER: {MAX_EPOCH: 2}",
        "c": "_BASE_: [d.yml, d.yml]\nSOLVER: {BASE_LR: 0.3}",
        "a": "_BASE_: [b.yml, c.yml]",
    }.items():
        write(tmp_path, f"{name}.yml", text)
    reads: list[str] = []
    read = node.read_text
    monkeypatch.setattr(node, "read_text", lambda file, limit: reads.append(file.name) or read(file, limit))
    cfg = get_cfg()
    cfg.merge_from_file(tmp_path / "a.yml")
    assert sorted(reads) == ["a.yml", "b.yml", "c.yml", "d.yml"]
    assert (cfg.SOLVER.MAX_EPOCH, cfg.SOLVER.BASE_LR) == (1, 0.3)


@pytest.mark.parametrize(("limit", "value"), [("MAX_FILES", 3), ("MAX_BASES_DEPTH", 3), ("MAX_NODES", 9)])
def test_merge_from_file_with_too_many_bases_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, limit: str, value: int
) -> None:
    for number in range(5):
        write(tmp_path, f"{number}.yml", f"_BASE_: {number + 1}.yml\n")
    write(tmp_path, "5.yml", "SEED: 1\n")
    get_cfg().merge_from_file(tmp_path / "0.yml")
    monkeypatch.setattr(node, limit, value)
    with pytest.raises(ConfigError, match=r"\.yml'.*(leads to more than|more than .* values)"):
        get_cfg().merge_from_file(tmp_path / "0.yml")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["MODEL.DEVICE"], "has no value"),
        (["MODEL.DEVISE", "cpu"], "did you mean 'MODEL.DEVICE'"),
        (["SOLVER.MAX_EPOCH", "ten"], "SOLVER.MAX_EPOCH"),
        (["SEED", "9" * 5000], "SEED"),
        (["OUTPUT_DIR", "a\0b"], "'OUTPUT_DIR': the text holds a NUL character"),
        (["MODEL", "3"], "'MODEL' holds keys and cannot be set to a value"),
        (["SOLVER.BASE_LR", "1e999"], "'SOLVER.BASE_LR': must be a finite number"),
        (
            ["OUTPUT", "x"],
            "unknown key 'OUTPUT'.*did you mean 'OUTPUT_DIR'.*available at the top level: .*--plugin FILE",
        ),
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
        ("SOLVER.STEPS", "['a', 10]", "must be a list of numbers of at least 0; got"),
        ("SOLVER.STEPS", "[-3]", "at least 0"),
        ("SOLVER.WARMUP_METHOD", "cosine", "constant, exp, linear"),
        ("MODEL.PIXEL_MEAN", "['a', 'b', 'c']", "must be a list of 3 numbers; got"),
        ("MODEL.PIXEL_STD", "[1, 0, 1]", "3 numbers above 0"),
        ("MODEL.PIXEL_STD", "[1.0]", "3 numbers above 0"),
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


def test_base_may_be_a_shipped_file_with_or_without_its_folder(tmp_path: Path) -> None:
    found = []
    for name in ("demo/one_stream.yml", "configs/demo/one_stream.yml"):
        (tmp_path / "a.yml").write_text(f"_BASE_: {name}")
        cfg = get_cfg()
        cfg.merge_from_file(tmp_path / "a.yml")
        found.append(cfg)
    assert found[0] == found[1]
    assert found[0].OUTPUT_DIR == "logs/demo/one_stream"
