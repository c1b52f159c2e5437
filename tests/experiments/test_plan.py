"""Names, folders and overrides of the runs of a sweep."""

from pathlib import Path

import pytest
import torch

from vireid_plugins.config import config_path, load_config
from vireid_plugins.config.stages import stages_of
from vireid_plugins.errors import ConfigError
from vireid_plugins.experiments.outcomes import ended
from vireid_plugins.experiments.plan import PlannedRun, plan_runs, run_name
from vireid_plugins.experiments.sweep_file import SweepFile


@pytest.mark.parametrize(
    ("values", "name"),
    [
        ({}, "run"),
        ({"SEED": 3}, "seed-3"),
        ({"SOLVER.BASE_LR": 0.1, "SEED": 0, "DATASETS.REGDB.SPLIT": 2}, "base_lr-0.1_seed-0_split-2"),
        ({"INPUT.REA.PROB": 0.5, "INPUT.FLIP.PROB": 0.1}, "rea.prob-0.5_flip.prob-0.1"),
    ],
)
def test_run_name_of_plain_values_reads_like_them(values: dict[str, object], name: str) -> None:
    assert run_name(values) == name


def test_run_name_is_a_safe_folder_and_tells_values_apart() -> None:
    values = [{"A.B": "a/b"}, {"A.B": "a b"}, {"A.B": "../x"}, {"A.B": [1, 2]}, {"A.B": "1_2"}, {"A.B": "x" * 300}]
    values += [{"A.B": "x" * 301}, {"A.B": "\n"}]
    names = [run_name(one) for one in values]
    assert len(set(names)) == len(names)
    for name in names:
        assert Path(name).name == name
        assert name.isprintable()
        assert not name.isdigit()
        assert len(name) <= 120


def sweep_of(folder: Path, **more: object) -> SweepFile:
    return SweepFile(folder / "s.yml", "RegDB/one_stream.yml", folder / "out", **more)  # type: ignore[arg-type]


def test_plan_runs_gives_every_setting_each_seed_and_split(tmp_path: Path) -> None:
    settings = [{"SOLVER.BASE_LR": 0.1}, {"SOLVER.BASE_LR": 0.2}]
    runs = plan_runs(sweep_of(tmp_path, seeds=[0, 1], splits=[1, 3]), settings, ["SOLVER.MAX_EPOCH", "2"])
    assert [run.name for run in runs] == [
        f"base_lr-{rate}_seed-{seed}_split-{split}" for rate in (0.1, 0.2) for seed in (0, 1) for split in (1, 3)
    ]
    cfg = load_config("RegDB/one_stream.yml", runs[3].words)
    assert (cfg.SOLVER.BASE_LR, cfg.SEED, cfg.DATASETS.REGDB.SPLIT, cfg.SOLVER.MAX_EPOCH) == (0.1, 1, 3, 2)
    assert str(tmp_path / "out" / runs[3].name) == cfg.OUTPUT_DIR
    assert runs[3].epochs == 2


@pytest.mark.parametrize(
    ("settings", "more", "said"),
    [
        ([{"SOLVER.BASELR": 1}], {}, r"run baselr-1: .*BASE_LR"),
        ([{"SEED": 1}], {"seeds": [0]}, "SEED is set by the entry 'seeds'"),
        ([{"OUTPUT_DIR": "x"}], {}, "OUTPUT_DIR is set by the entry 'output'"),
        ([{"SEED": 1}, {"SEED": 1}], {}, "two runs are the same: seed-1"),
        ([{"SOLVER.MAX_EPOCH": -1}], {}, "SOLVER.MAX_EPOCH"),
        ([{}], {"seeds": range(5001), "splits": [1, 2]}, r"s\.yml': more than 10,000 runs"),
        ([{"SOLVER.BASE_LR": 1}, {"SOLVER.BASE_LR": 1.0}], {}, "two runs are the same: base_lr-1 and base_lr-1.0"),
    ],
)
def test_plan_runs_of_what_cannot_run_is_one_error(
    tmp_path: Path, settings: list[dict[str, object]], more: dict[str, object], said: str
) -> None:
    with pytest.raises(ConfigError, match=said):
        plan_runs(sweep_of(tmp_path, **more), settings)


@pytest.mark.parametrize("override", ["SOLVER.BASE_LR=0.3", "OUTPUT_DIR=x", "SEED=1"])
def test_plan_runs_with_an_override_of_what_the_sweep_sets_is_one_error(tmp_path: Path, override: str) -> None:
    with pytest.raises(ConfigError, match=rf"{override.partition('=')[0]} on the command line would have no effect"):
        plan_runs(sweep_of(tmp_path, seeds=[0]), [{"SOLVER.BASE_LR": 0.1}], [override])


def test_plan_runs_of_splits_without_regdb_is_one_error(tmp_path: Path) -> None:
    sweep = SweepFile(tmp_path / "s.yml", "SYSU/one_stream.yml", tmp_path, splits=[1])
    with pytest.raises(ConfigError, match="splits are RegDB's"):
        plan_runs(sweep, [{}])


def test_plan_runs_over_a_run_of_another_configuration_is_one_error(tmp_path: Path) -> None:
    (run,) = plan_runs(sweep_of(tmp_path), [{"SEED": 1}])
    cfg = load_config("RegDB/one_stream.yml", run.words)
    cfg.MODEL.HEADS.NUM_CLASSES = 206  # what a training fills in
    run.folder.mkdir(parents=True)
    (run.folder / "config.yaml").write_text(cfg.dump())
    assert plan_runs(sweep_of(tmp_path), [{"SEED": 1}], ["TEST.EVAL_PERIOD", "5"])[0].folder == run.folder
    with pytest.raises(ConfigError, match=r"another configuration \(SOLVER\.BASE_LR: .* -> 0\.5\)"):
        plan_runs(sweep_of(tmp_path), [{"SEED": 1}], ["SOLVER.BASE_LR", "0.5"])


@pytest.mark.parametrize(
    ("content", "said"), [(b"SEED: [", "is not valid YAML"), (b"\xff", "can't decode byte 0xff in position 0")]
)
def test_plan_runs_over_a_damaged_run_is_one_error(tmp_path: Path, content: bytes, said: str) -> None:
    (run,) = plan_runs(sweep_of(tmp_path), [{"SEED": 1}])
    run.folder.mkdir(parents=True)
    (run.folder / "config.yaml").write_bytes(content)
    with pytest.raises(
        ConfigError,
        match=rf"seed-1/config\.yaml' cannot be read: .*{said}.*; remove the folder, or choose another output",
    ):
        plan_runs(sweep_of(tmp_path), [{"SEED": 1}])


def test_plan_runs_takes_a_run_from_before_a_plugin_brought_its_keys(tmp_path: Path) -> None:
    (run,) = plan_runs(sweep_of(tmp_path), [{"SEED": 1}])
    lines = load_config("RegDB/one_stream.yml", run.words).dump().splitlines(keepends=True)
    run.folder.mkdir(parents=True)
    (run.folder / "config.yaml").write_text("".join(line for line in lines if "RELEASED_EPS" not in line))
    assert plan_runs(sweep_of(tmp_path), [{"SEED": 1}]) == [run]
    with pytest.raises(ConfigError, match=r"WEIGHTED_TRIPLET\.RELEASED_EPS: absent -> True"):
        plan_runs(sweep_of(tmp_path), [{"SEED": 1}], ["MODEL.LOSSES.WEIGHTED_TRIPLET.RELEASED_EPS", "True"])


def test_plan_runs_names_the_keys_that_a_finished_run_was_not_scored_by(tmp_path: Path) -> None:
    (run,) = plan_runs(sweep_of(tmp_path), [{"SEED": 1}])
    run.folder.mkdir(parents=True)
    (run.folder / "config.yaml").write_text(load_config("RegDB/one_stream.yml", run.words).dump())
    words = ["TEST.AIM.ENABLED", "True", "TEST.PROTOCOLS", "regdb/v2i", "TEST.EVAL_PERIOD", "5"]
    (again,) = plan_runs(sweep_of(tmp_path), [{"SEED": 1}], words)
    assert again.scoring == ["TEST.AIM.ENABLED", "TEST.PROTOCOLS"]


def test_plan_runs_knows_a_run_in_stages_again(tmp_path: Path) -> None:
    """The configuration in its folder is that of the last stage."""
    config = str(config_path("own/adca.yml"))
    sweep = SweepFile(tmp_path / "s.yml", config, tmp_path / "out")
    (run, *_) = plan_runs(sweep, [{}], ["DATASETS.OWN.ROOT", str(tmp_path)])
    assert not run.scored
    run.folder.mkdir(parents=True)
    (run.folder / "config.yaml").write_text(stages_of(load_config(config, run.words))[-1].dump())
    assert plan_runs(sweep, [{}], ["DATASETS.OWN.ROOT", str(tmp_path)])[0] == run


def test_run_without_a_test_set_has_ended_with_its_final_weights(tmp_path: Path) -> None:
    run = PlannedRun("run", tmp_path, {}, [], epochs=1)
    torch.save({"model": {"weight": torch.ones(1)}, "epoch": 0, "iteration": 5}, tmp_path / "model_final.pth")
    assert not ended(run)
    assert ended(run._replace(scored=False))
