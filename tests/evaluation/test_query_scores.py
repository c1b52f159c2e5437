"""AP of every query, in memory and in a file."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from vireid_plugins.errors import DataError
from vireid_plugins.evaluation import PROTOCOLS, EvaluationPlan
from vireid_plugins.evaluation.evaluate import dataset_of, score
from vireid_plugins.evaluation.query_scores import (
    QueryScores,
    TrialAp,
    queries_file,
    query_scores,
    read_query_scores,
    write_query_scores,
)


def of_trials() -> QueryScores:
    first = TrialAp(["a", "b"], np.array([1, 2]), np.array([0.5, np.nan]))
    second = TrialAp(["c", "a"], np.array([3, 1]), np.array([0.25, 1.0]))
    return query_scores([first, second])


def test_query_scores_of_drawn_queries_have_a_column_for_each() -> None:
    table = of_trials()
    assert table.paths.tolist() == ["a", "b", "c"]
    assert table.ids.tolist() == [1, 2, 3]
    np.testing.assert_array_equal(table.ap, np.array([[0.5, np.nan, np.nan], [1.0, np.nan, 0.25]], np.float32))


@pytest.mark.parametrize("protocol", ["sysu/official/all/1shot", "llcm/thermal_queries/v2i", "regdb/v2i"])
def test_query_scores_of_a_protocol_average_to_its_map(tree: Path, protocol: str) -> None:
    names = [name for name in PROTOCOLS if name == protocol] or [n for n, p in PROTOCOLS.items() if p.drawn == "query"]
    which = PROTOCOLS[names[0]]
    dataset = dataset_of(which.dataset, tree, 1 if which.dataset == "RegDB" else None)
    paths = [dataset.relative(item) for item in (*dataset.query, *dataset.gallery)]
    features = np.random.default_rng(0).standard_normal((len(paths), 8))
    (result,) = score(features, paths, EvaluationPlan(dataset, [which]))
    assert result.queries is not None
    np.testing.assert_allclose(np.nanmean(result.queries.ap, axis=1), [k.mAP for k in result.rankings], rtol=1e-6)
    assert (~np.isnan(result.queries.ap)).sum(1).tolist() == [k.counted for k in result.rankings]


def test_write_query_scores_of_the_same_scores_leaves_the_file_alone(tmp_path: Path) -> None:
    file = queries_file(tmp_path / "evaluation.json")
    assert file.name == "evaluation_queries.npz"
    write_query_scores(file, {"p/1": of_trials()})
    written = (file.read_bytes(), file.stat().st_ino)
    found = read_query_scores(file)
    assert list(found) == ["p/1"]
    for ours, theirs in zip(found["p/1"], of_trials(), strict=True):
        np.testing.assert_array_equal(ours, theirs)
    write_query_scores(file, {"p/1": of_trials()})
    assert (file.read_bytes(), file.stat().st_ino) == written
    write_query_scores(file, {"p/1": of_trials()._replace(ids=np.array([1, 2, 4]))})
    assert read_query_scores(file)["p/1"].ids.tolist() == [1, 2, 4]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"ids_0": np.array([1, 2])}, r"ids must be \(3,\) whole numbers"),
        ({"ap_0": np.ones((2, 2), np.float32)}, r"ap must be \(trials, 3\)"),
        ({"ap_0": np.full((1, 3), 1.5, np.float32)}, "between 0 and 1"),
        ({"paths_0": np.array(["a", "a", "b"])}, "a name occurs twice"),
        ({"paths_0": np.array([1, 2, 3])}, "names must be"),
        ({"protocols": np.array(["p", "q"])}, "paths_1"),
        ({"protocols": np.array([object()])}, "Object|object"),
    ],
)
def test_read_query_scores_of_another_file_is_one_error(tmp_path: Path, change: dict[str, Any], said: str) -> None:
    table = of_trials()
    whole = {"protocols": np.array(["p"]), "paths_0": table.paths, "ids_0": table.ids, "ap_0": table.ap}
    np.savez(tmp_path / "x.npz", **(whole | change))
    with pytest.raises(DataError, match=said):
        read_query_scores(tmp_path / "x.npz")


def test_read_query_scores_without_a_file_says_what_writes_it(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="score the run again"):
        read_query_scores(tmp_path / "evaluation_queries.npz")
    (tmp_path / "evaluation_queries.npz").mkdir()
    with pytest.raises(DataError, match=r"evaluation_queries\.npz' cannot be read: it is a folder, not a file"):
        read_query_scores(tmp_path / "evaluation_queries.npz")
