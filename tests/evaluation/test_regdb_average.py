import json
from pathlib import Path

import pytest

from vireid_plugins.errors import DataError
from vireid_plugins.evaluation.regdb_average import merge_splits, merged_table


def write(
    file: Path, split: int | str | None, rank: float, names: tuple[str, ...] = ("regdb/v2i", "regdb/i2v")
) -> Path:
    results = [
        {"protocol": n, "refinement": "", "split": split, "mean": {"Rank-1": rank, "mAP": rank / 2}} for n in names
    ]
    file.write_text(json.dumps({"results": results}))
    return file


def test_merge_splits_of_ten_splits_gives_mean_and_deviation(tmp_path: Path) -> None:
    files = [write(tmp_path / f"{split}.json", split, 10.0 * split) for split in range(1, 11)]
    merged = merge_splits(files)
    assert merged["complete"]
    assert [result["protocol"] for result in merged["merged"]] == ["regdb/v2i", "regdb/i2v"]
    for result in merged["merged"]:
        assert result["mean"] == {"Rank-1": 55.0, "mAP": 27.5}
        assert result["std"]["Rank-1"] == pytest.approx(28.7228, abs=1e-4)
    assert "55.00 ± 28.72" in merged_table(merged)
    assert "10 of 10" in merged_table(merged)
    assert not merge_splits(files[:3])["complete"]
    assert "3 of 10" in merged_table(merge_splits(files[:3]))


def test_merged_table_of_one_split_and_a_refinement_has_a_row_for_each(tmp_path: Path) -> None:
    mean = {"Rank-1": 10.0, "mAP": 5.0}
    results = [{"protocol": "regdb/v2i", "refinement": name, "split": 3, "mean": mean} for name in ("", "re-ranked")]
    (tmp_path / "3.json").write_text(json.dumps({"results": results}))
    lines = merged_table(merge_splits([tmp_path / "3.json"])).splitlines()
    assert [[cell.strip() for cell in line.strip("|").split("|")] for line in (lines[0], *lines[2:])] == [
        ["protocol", "Rank-1", "mAP", "splits"],
        ["regdb/v2i", "10.00", "5.00", "1 of 10"],
        ["regdb/v2i + re-ranked", "10.00", "5.00", "1 of 10"],
    ]


def test_merge_splits_of_two_metrics_averages_each_and_names_the_one_that_is_not_cosine(tmp_path: Path) -> None:
    files = []
    for split in (1, 2):
        result = {"protocol": "regdb/v2i", "refinement": "", "split": split}
        means = {"cosine": {"mAP": 10.0 * split}, "euclidean": {"mAP": 30.0 * split}}
        # A file of an earlier release names no metric.
        results = [result | {"mean": means["cosine"]}, result | {"metric": "euclidean", "mean": means["euclidean"]}]
        files.append(tmp_path / f"{split}.json")
        files[-1].write_text(json.dumps({"results": results}))
    merged = merge_splits(files)
    found = [(result["metric"], result["mean"]["mAP"]) for result in merged["merged"]]
    assert found == [("cosine", 15.0), ("euclidean", 45.0)]
    lines = merged_table(merged).splitlines()[2:]
    assert [line.split("|")[1].strip() for line in lines] == ["regdb/v2i", "regdb/v2i by euclidean"]


def test_merged_table_of_an_open_set_beside_a_closed_one_leaves_its_scores_empty(tmp_path: Path) -> None:
    closed = {"protocol": "regdb/v2i", "refinement": "", "split": 3, "mean": {"mAP": 5.0}}
    opened = closed | {"protocol": "regdb/v2i/open", "mean": {"mAP": 6.0, "TPIR@FPIR=1%": 0.0}}
    (tmp_path / "3.json").write_text(json.dumps({"results": [closed, opened]}))
    lines = merged_table(merge_splits([tmp_path / "3.json"])).splitlines()
    assert [[cell.strip() for cell in line.strip("|").split("|")] for line in (lines[0], *lines[2:])] == [
        ["protocol", "mAP", "TPIR@FPIR=1%", "splits"],
        ["regdb/v2i", "5.00", "", "1 of 10"],
        ["regdb/v2i/open", "6.00", "0.00", "1 of 10"],
    ]


def test_merge_splits_of_files_that_do_not_fit_is_one_error(tmp_path: Path) -> None:
    first = write(tmp_path / "1.json", 1, 10)
    with pytest.raises(DataError, match=r"again\.json' and '.*1\.json' both contain regdb/v2i for split 1$"):
        merge_splits([first, write(tmp_path / "again.json", 1, 20)])
    with pytest.raises(DataError, match=r"not scored on the same splits: regdb/v2i: \[1, 2\]; regdb/i2v: \[1\]$"):
        merge_splits([first, write(tmp_path / "2.json", 2, 20, ("regdb/v2i",))])
    with pytest.raises(DataError, match="has no splits"):
        merge_splits([write(tmp_path / "none.json", None, 20)])
    for split in (11, "2"):
        message = rf"odd\.json': regdb/v2i has split {split!r}; RegDB has the splits 1 to 10$"
        with pytest.raises(DataError, match=message):
            merge_splits([first, write(tmp_path / "odd.json", split, 20)])
    with pytest.raises(DataError, match=r"gone\.json' cannot be read"):
        merge_splits([tmp_path / "gone.json"])
    row = {"protocol": "regdb/v2i", "refinement": "", "split": 2}
    fewer = tmp_path / "fewer.json"
    fewer.write_text(json.dumps({"results": [row | {"mean": {"Rank-1": 1.0}}]}))
    with pytest.raises(DataError, match=r"fewer\.json' has Rank-1 for regdb/v2i, but .*1\.json' has Rank-1, mAP$"):
        merge_splits([first, fewer])
    scored = row | {"mean": {"mAP": 1.0}}
    changes = [{"protocol": [], "refinement": []}, {"metric": []}, {"split": True}]
    changes += [
        {"mean": mean}
        for mean in ([1.0], {}, {"mAP": float("nan")}, {"mAP": 10**400}, {"mAP": -1}, {"mAP": 100.5}, {"mAP": True})
    ]
    for wrong in ([1, 2], {"results": []}, {"results": [row]}, *({"results": [scored | change]} for change in changes)):
        (tmp_path / "x.json").write_text(json.dumps(wrong))
        with pytest.raises(DataError, match=r"x\.json' contains no results"):
            merge_splits([tmp_path / "x.json"])
