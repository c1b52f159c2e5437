"""The YAML of a sweep."""

from pathlib import Path

import pytest

from vireid_plugins.errors import ConfigError
from vireid_plugins.experiments.sweep_file import read_sweep

HEAD = "config: SYSU/agw.yml\noutput: out\n"


def write(folder: Path, text: str) -> Path:
    (folder / "sweep.yml").write_text(text)
    return folder / "sweep.yml"


def test_read_sweep_of_a_grid_has_the_product_in_order(tmp_path: Path) -> None:
    text = (
        HEAD + "grid:\n  A.B: [1, 0.5]\n  C: [x, [y, z]]\nseeds: [0, 7]\nsplits: [2]\njobs: 3\ndevices: [0, 'cuda:1']\n"
    )
    sweep = read_sweep(write(tmp_path, text))
    assert list(sweep.settings) == [
        {"A.B": 1, "C": "x"}, {"A.B": 1, "C": ["y", "z"]}, {"A.B": 0.5, "C": "x"}, {"A.B": 0.5, "C": ["y", "z"]},
    ]  # fmt: skip
    assert (sweep.seeds, sweep.splits, sweep.jobs, sweep.devices) == ([0, 7], [2], 3, ["0", "cuda:1"])
    assert read_sweep(write(tmp_path, HEAD)).settings == [{}]
    assert read_sweep(write(tmp_path, HEAD + "runs: [{A: 1}, {B: 2}]")).settings == [{"A": 1}, {"B": 2}]


def test_read_sweep_of_a_search_has_its_space(tmp_path: Path) -> None:
    text = HEAD + "search: {trials: 4, protocol: p, space: {A: [1, 2], B: {low: 0.01, high: 1.0, log: true}}}"
    search = read_sweep(write(tmp_path, text)).search
    assert search is not None
    assert (search.trials, search.score, search.sampler) == (4, "mAP", "tpe")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "the file must hold keys and values"),
        ("config: [", "while parsing"),
        ("config: a\n", "output is missing"),
        (HEAD + "sedes: [1]", "unknown value 'sedes'; available: config"),
        (HEAD + "grid: {A: [1]}\nruns: [{A: 1}]", "has grid and runs; keep one"),
        (HEAD + "grid: {A: 1}", "grid: A must have a list of values; got 1"),
        (HEAD + "runs: []", "runs must be a list"),
        (HEAD + "runs: [1]", "entry 1 of runs must hold keys"),
        (HEAD + "seeds: [1, 1]", "seeds must be a list of different values"),
        (HEAD + "seeds: []", "seeds is empty"),
        (HEAD + "seeds: [-1]", "seeds: .-1. is not between 0 and"),
        (HEAD + "splits: [11]", "splits: .11. is not between 1 and 10"),
        (HEAD + "jobs: 0", "jobs must be a whole number of at least 1; got 0"),
        (HEAD + "executor: k8s", "unknown value 'k8s'; available: local, slurm"),
        (HEAD + "slurm: {timeout_min: 1}", "set executor: slurm as well"),
        (HEAD + "search: {trials: 1, space: {A: [1]}}", "search: protocol is missing"),
        (
            HEAD + "search: {trials: 1, protocol: p, space: {A: {low: 2, high: 1}}}",
            "search: A must be a list of choices",
        ),
        *(
            (
                HEAD + f"search: {{trials: 1, protocol: p, space: {{A: {bounds}}}}}",
                "search: A must be a list of choices",
            )
            for bounds in (
                "{low: 0, high: 1, log: true}",
                "{low: 1, high: 2, log: 'no'}",
                "{low: 1, high: 2, step: -1}",
                "{low: 1, high: .inf}",
            )
        ),
        (HEAD + "search: {trials: 1, protocol: p, seed: x, space: {A: [1]}}", "search: seed must be a whole number"),
        (HEAD + "search: {trials: 1, protocol: [p], space: {A: [1]}}", "search: protocol must be a name"),
        (HEAD + "search: {trials: 1, protocol: p, space: {A: []}}", "search: A must be a list of choices"),
        (HEAD + "search: {trials: 1, protocol: p, sampler: grid, space: {A: [1]}}", "unknown value 'grid'"),
        (HEAD + "grid:\n" + "".join(f"  K{n}: [1, 2]\n" for n in range(14)), "more than 10,000 settings"),
    ],
)
def test_read_sweep_of_a_wrong_file_is_one_error(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(ConfigError, match=said) as caught:
        read_sweep(write(tmp_path, text))
    assert str(caught.value).startswith(f"sweep '{tmp_path / 'sweep.yml'}'")


def test_read_sweep_without_a_file_is_one_error(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot be read: No such file"):
        read_sweep(tmp_path / "none.yml")
