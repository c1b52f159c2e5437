"""A search with the real optuna and trainings that cost nothing."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import fake_trainings as fakes
import pytest

from vireid_plugins.errors import ConfigError, LaunchError
from vireid_plugins.experiments import search as module
from vireid_plugins.experiments.search import Searcher, check_search
from vireid_plugins.experiments.sweep import run_sweep
from vireid_plugins.experiments.sweep_file import Search, SweepFile

PAIRS = {"SOLVER.BASE_LR": [0.1, 0.2], "SOLVER.MAX_EPOCH": [1, 2, 3]}


def sweep_of(folder: Path, trials: int, space: Any = PAIRS, **more: Any) -> SweepFile:
    search = Search(
        trials, space, "sysu/official/all/1shot", **{key: more.pop(key) for key in ("sampler",) if key in more}
    )
    return SweepFile(folder / "s.yml", "SYSU/one_stream.yml", folder / "out", search=search, **more)


@pytest.fixture
def scored(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fake trainings whose score is their learning rate times their epochs, from numpy."""
    import numpy as np

    fakes.install(monkeypatch)

    def score(folder: Path, protocol: str, name: str) -> Any:
        values = dict(
            part.rsplit("-", 1) for part in folder.name.replace("base_lr", "lr").replace("max_epoch", "n").split("_")
        )
        return np.float32(float(values["lr"]) * float(values["n"]))

    monkeypatch.setattr(module, "score_of", score)


def folders(out: Path) -> set[str]:
    return {file.name for file in out.iterdir() if file.is_dir()}


@pytest.mark.usefixtures("scored")
@pytest.mark.parametrize("sampler", ["tpe", "random"])
def test_search_tries_every_pair_once_and_says_which_was_best(tmp_path: Path, sampler: str) -> None:
    said: list[str] = []
    # More trials than there are pairs: it ends with the last pair.
    run_sweep(sweep_of(tmp_path, 10, sampler=sampler, jobs=2), [], said.append)
    assert len(folders(tmp_path / "out")) == 6
    assert all(len(fakes.starts(tmp_path / "out" / name)) == 1 for name in folders(tmp_path / "out"))
    assert "best of 6 trials: mAP 0.60 with SOLVER.BASE_LR=0.2 SOLVER.MAX_EPOCH=3" in said


@pytest.mark.usefixtures("scored")
def test_search_that_is_resumed_repeats_no_pair(tmp_path: Path) -> None:
    run_sweep(sweep_of(tmp_path, 2), [], lambda _: None)
    first = folders(tmp_path / "out")
    assert len(first) == 2
    run_sweep(sweep_of(tmp_path, 2), [], lambda _: None)
    assert folders(tmp_path / "out") == first
    run_sweep(sweep_of(tmp_path, 5), [], lambda _: None)
    assert len(folders(tmp_path / "out")) == 5
    assert all(len(fakes.starts(tmp_path / "out" / name)) == 1 for name in folders(tmp_path / "out"))


@pytest.mark.usefixtures("scored")
def test_search_that_was_killed_goes_on_with_the_trials_that_ran(tmp_path: Path) -> None:
    sweep = sweep_of(tmp_path, 3)
    (tmp_path / "out").mkdir()
    searcher = Searcher(sweep, [])

    def killed(runs: Any) -> Any:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        searcher.run(killed, lambda _: None)
    # Another was killed while its values were drawn.
    searcher._study().ask().suggest_categorical("SOLVER.BASE_LR", ["0.1", "0.2"])
    interrupted = [trial.params for trial in searcher._study().trials if trial.user_attrs]
    outcomes = run_sweep(sweep, [], lambda _: None)
    assert len(outcomes) == 3
    assert {key: str(value) for key, value in outcomes[0].run.values.items()} == interrupted[0]
    states = [trial.state.name for trial in searcher._study().trials]
    assert states.count("COMPLETE") == 3
    assert "RUNNING" not in states


@pytest.mark.usefixtures("scored")
def test_search_with_a_run_that_fails_goes_on_and_says_so(tmp_path: Path) -> None:
    space = {"SOLVER.BASE_LR": [0.1, 0.5], "SOLVER.MAX_EPOCH": [1]}
    with pytest.raises(LaunchError, match="1 of 2 runs failed"):
        run_sweep(sweep_of(tmp_path, 2, space), [], lambda _: None)


@pytest.mark.usefixtures("scored")
def test_search_draws_numbers_between_bounds(tmp_path: Path) -> None:
    space = {"SOLVER.BASE_LR": {"low": 0.001, "high": 0.1, "log": True}, "SOLVER.MAX_EPOCH": {"low": 1, "high": 3}}
    outcomes = run_sweep(sweep_of(tmp_path, 3, space, seeds=[0]), ["SOLVER.MOMENTUM", "0.8"], lambda _: None)
    for outcome in outcomes:
        assert 0.001 <= outcome.run.values["SOLVER.BASE_LR"] <= 0.1
        assert outcome.run.values["SOLVER.MAX_EPOCH"] in (1, 2, 3)
        assert outcome.run.values["SEED"] == 0


@pytest.mark.usefixtures("scored")
def test_search_of_another_space_in_its_output_is_one_error(tmp_path: Path) -> None:
    run_sweep(sweep_of(tmp_path, 1), [], lambda _: None)
    with pytest.raises(ConfigError, match="may be of another space: choose another output"):
        run_sweep(sweep_of(tmp_path, 2, {**PAIRS, "SOLVER.BASE_LR": [0.3]}), [], lambda _: None)
    with pytest.raises(ConfigError, match="BASELR"):
        run_sweep(sweep_of(tmp_path, 3, {"SOLVER.BASELR": [1]}), [], lambda _: None)
    lines = (tmp_path / "out" / "search.journal").read_text().splitlines()
    assert all(json.loads(line) for line in lines)


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"protocol": "sysu/official/all/1shots"}, "search: protocol: unknown value 'sysu/official/all/1shots'"),
        ({"score": "map"}, "search: score: unknown value 'map'"),
        ({"space": {"SOLVER.MAX_EPOCH": [1, "many"]}}, "run max_epoch-many: "),
        ({"space": {"SOLVER.NOPE": {"low": 0.1, "high": 1}}}, "unknown key 'SOLVER.NOPE'"),
    ],
)
def test_search_that_could_not_be_scored_is_one_error_before_it_trains(
    tmp_path: Path, wrong: dict[str, Any], said: str
) -> None:
    sweep = sweep_of(tmp_path, 2)
    assert sweep.search is not None
    with pytest.raises(ConfigError, match=said):
        run_sweep(replace(sweep, search=replace(sweep.search, **wrong)), [], lambda _: None)
    assert not (tmp_path / "out").exists()


def test_check_search_takes_a_protocol_that_the_configuration_names_by_a_pattern(tmp_path: Path) -> None:
    sweep = sweep_of(tmp_path, 1)
    assert sweep.search is not None
    search = replace(sweep.search, protocol="sysu/agw/all/1shot")
    with pytest.raises(ConfigError, match="protocol: unknown value"):
        check_search(replace(sweep, search=search), ["TEST.PROTOCOLS", "sysu/official/*"])
    assert check_search(replace(sweep, search=search), ["TEST.PROTOCOLS", "sysu/agw/*"]) == search
