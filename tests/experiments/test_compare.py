"""Two sides of runs: what is refused, what is said, and the picture."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from helpers import vireid
from PIL import Image
from written_runs import SYSU, write_run

from vireid_plugins.errors import ConfigError, DataError
from vireid_plugins.evaluation.query_scores import read_query_scores, write_query_scores
from vireid_plugins.experiments.compare import Comparison, compare, read_side, sentences


def ap(seed: int, gap: float = 0.0) -> Any:
    luck = np.random.default_rng(seed).normal(0, 0.02, (2, 40))
    return np.clip(np.linspace(0.2, 0.7, 40) + luck + gap, 0, 1)


def sides(folder: Path, runs: int, gap: float) -> Comparison:
    for seed in range(runs):
        write_run(folder / "a" / f"seed-{seed}", ap(seed), seed=seed)
        write_run(folder / "b" / f"seed-{seed}", ap(100 + seed, gap), "SOLVER.BASE_LR", "0.5", seed=seed)
    return compare(read_side("A", [str(folder / "a")]), read_side("B", [str(folder / "b" / "seed-*")]))


def test_compare_of_several_seeds_finds_a_difference_with_its_interval(tmp_path: Path) -> None:
    said = sentences(sides(tmp_path, 3, 0.1))
    assert len(said) == 1
    assert said[0].startswith(f"{SYSU}, 40 queries: B's mAP is ")
    assert said[0].endswith("more than seeds and queries explain.")
    assert "95 % interval +" in said[0]


def test_compare_of_one_distribution_tells_no_difference(tmp_path: Path) -> None:
    assert sentences(sides(tmp_path, 3, 0.0))[0].endswith("no difference can be told.")


def test_compare_of_one_run_a_side_speaks_of_the_weights_and_gives_no_verdict(tmp_path: Path) -> None:
    found = sides(tmp_path, 1, 0.1)
    first, last = sentences(found)
    assert "paired permutation test over identities, p < 0.001" in first
    assert "two files of weights alone, and says nothing about the methods" in last
    assert not any(word in first for word in ("explain", "better method", "significant"))
    assert [row.setting for row in found.rows][-1] == "B - A"
    gap = found.rows[1].scores["mAP"].mean - found.rows[0].scores["mAP"].mean
    assert found.rows[2].scores["mAP"].mean == pytest.approx(gap)


def test_compare_of_a_run_with_itself_is_equal(tmp_path: Path) -> None:
    run = str(write_run(tmp_path / "run", ap(0)))
    found = compare(read_side("A", [run]), read_side("B", [run]))
    assert sentences(found)[0] == f"{SYSU}, 40 queries: the runs are equal in the AP of every query."


def test_compare_leaves_out_queries_without_a_match(tmp_path: Path) -> None:
    table = ap(0)
    table[:, 3] = np.nan
    table[0, 5] = np.nan
    runs = [
        str(write_run(tmp_path / name, table + shift, seed=n)) for n, (name, shift) in enumerate((("a", 0), ("b", 0.1)))
    ]
    found = compare(read_side("A", runs[:1]), read_side("B", runs[1:]))
    assert found.compared[0].queries == 39


def test_compare_where_trials_draw_their_queries_says_the_difference_of_map(tmp_path: Path) -> None:
    drawn = np.random.default_rng(5).random((4, 40)) < np.linspace(0.2, 0.9, 40)
    drawn[0] = True
    runs, maps = [], []
    for seed in range(4):
        table = np.where(drawn, np.random.default_rng(seed).random((4, 40)), np.nan)
        maps.append(100 * float(np.mean([np.nanmean(trial) for trial in table])))
        runs.append(str(write_run(tmp_path / f"{seed}", table, seed=seed, mean={"mAP": maps[-1]})))
    single = compare(read_side("A", runs[:1]), read_side("B", runs[1:2]))
    several = compare(read_side("A", runs[:2]), read_side("B", runs[2:]))
    assert single.compared[0].result.difference == pytest.approx(maps[1] - maps[0], abs=1e-4)
    assert several.compared[0].result.difference == pytest.approx((sum(maps[2:]) - sum(maps[:2])) / 2, abs=1e-4)
    assert single.rows[2].scores["mAP"].mean == pytest.approx(maps[1] - maps[0])


@pytest.mark.parametrize(
    ("other", "said"),
    [
        ({"paths": [f"r{number}" for number in range(40)]}, "with different queries or galleries"),
        ({"protocol": "sysu/agw/all/1shot"}, "no protocol in common"),
        ({"refinement": "re-ranking"}, "no protocol in common"),
        ({"metric": "euclidean"}, "no protocol in common"),
        ({"split": 2, "config": "RegDB/one_stream.yml"}, "was scored on split"),
    ],
)
def test_compare_of_other_data_or_protocols_is_one_error(tmp_path: Path, other: dict[str, Any], said: str) -> None:
    a, b = write_run(tmp_path / "a", ap(0)), write_run(tmp_path / "b", ap(1), **other)
    with pytest.raises(DataError, match=said):
        compare(read_side("A", [str(a)]), read_side("B", [str(b)]))


def test_compare_without_the_queries_says_to_score_again(tmp_path: Path) -> None:
    a, b = write_run(tmp_path / "a", ap(0)), write_run(tmp_path / "b", ap(1))
    (b / "evaluation_queries.npz").unlink()
    with pytest.raises(DataError, match=r"b/evaluation_queries\.npz' does not exist; .* score the run again"):
        compare(read_side("A", [str(a)]), read_side("B", [str(b)]))


def test_compare_with_queries_of_other_protocols_says_to_score_again(tmp_path: Path) -> None:
    a, b = write_run(tmp_path / "a", ap(0)), write_run(tmp_path / "b", ap(1))
    file = b / "evaluation_queries.npz"
    write_query_scores(file, {"sysu/agw/all/1shot": read_query_scores(file)[SYSU]})
    message = rf"b/evaluation_queries\.npz' has no queries of {SYSU}; it has sysu/agw/all/1shot: score the run again"
    with pytest.raises(DataError, match=message):
        compare(read_side("A", [str(a)]), read_side("B", [str(b)]))


def test_read_side_of_what_is_no_repetition_is_one_error(tmp_path: Path) -> None:
    write_run(tmp_path / "x" / "1", ap(0))
    write_run(tmp_path / "x" / "2", ap(1), "SOLVER.BASE_LR", "0.5", seed=1)
    with pytest.raises(ConfigError, match=r"of different settings \(SOLVER\.BASE_LR\)"):
        read_side("A", [str(tmp_path / "x")])
    write_run(tmp_path / "y" / "1", ap(0))
    write_run(tmp_path / "y" / "2", ap(1))
    with pytest.raises(ConfigError, match="have the same seed 0"):
        read_side("A", [str(tmp_path / "y" / "*")])
    with pytest.raises(ConfigError, match=r"side B: '.*none.*' is no folder, and no folder matches it"):
        read_side("B", [str(tmp_path / "none-*")])


def test_compare_of_sides_that_cannot_be_compared_is_one_error(tmp_path: Path) -> None:
    for seed in range(3):
        write_run(tmp_path / f"{seed}", ap(seed), seed=seed)
    both = [str(tmp_path / "0"), str(tmp_path / "1")]
    with pytest.raises(ConfigError, match="is on both sides"):
        compare(read_side("A", both), read_side("B", [both[0], str(tmp_path / "2")]))
    with pytest.raises(ConfigError, match="1 and 2 runs cannot be compared"):
        compare(read_side("A", [str(tmp_path / "2")]), read_side("B", both))


def test_compare_prints_and_draws(tmp_path: Path) -> None:
    sides(tmp_path, 2, 0.1)
    picture = tmp_path / "curves.png"
    ran = vireid("compare", str(tmp_path / "a"), str(tmp_path / "b" / "seed-*"), "--output", str(picture))
    assert ran.returncode == 0, ran.stderr
    assert "B - A" in ran.stdout
    assert f"wrote {picture}" in ran.stdout
    assert Image.open(picture).width > 600
    flags = vireid("compare", "--a", str(tmp_path / "a" / "seed-0"), "--b", str(tmp_path / "b" / "seed-1"))
    assert "says nothing about the methods" in flags.stdout, flags.stderr
    for wrong in ([str(tmp_path / "a")], [], ["--a", "x"], ["x", "y", "z"]):
        ran = vireid("compare", *wrong)
        assert ran.returncode == 2
        assert "needs two sides" in ran.stderr
