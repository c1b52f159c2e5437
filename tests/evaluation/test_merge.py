import json
from pathlib import Path

import pytest

from vireid_plugins.errors import DataError
from vireid_plugins.evaluation.merge import merge_splits, merged_table


def write(file: Path, split: int | None, rank: float, names: tuple[str, ...] = ("regdb/v2i", "regdb/i2v")) -> Path:
    results = [
        {"protocol": n, "refinement": "", "split": split, "mean": {"Rank-1": rank, "mAP": rank / 2}} for n in names
    ]
    file.write_text(json.dumps({"results": results}))
    return file


def test_the_mean_of_ten_splits(tmp_path: Path) -> None:
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


def test_what_is_wrong_is_one_error(tmp_path: Path) -> None:
    first = write(tmp_path / "1.json", 1, 10)
    with pytest.raises(DataError, match=r"again\.json' scores regdb/v2i of split 1, and so does .*1\.json"):
        merge_splits([first, write(tmp_path / "again.json", 1, 20)])
    with pytest.raises(DataError, match="not scored on the same splits"):
        merge_splits([first, write(tmp_path / "2.json", 2, 20, ("regdb/v2i",))])
    with pytest.raises(DataError, match="has no splits"):
        merge_splits([write(tmp_path / "none.json", None, 20)])
    with pytest.raises(DataError, match=r"gone\.json' cannot be read"):
        merge_splits([tmp_path / "gone.json"])
    (tmp_path / "x.json").write_text("[1, 2]")
    with pytest.raises(DataError, match=r"x\.json' holds no results"):
        merge_splits([tmp_path / "x.json"])
