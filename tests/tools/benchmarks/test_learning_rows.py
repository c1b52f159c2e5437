import json
from pathlib import Path
from typing import Any

import pytest
from helpers import ROOT
from learning_parts.rows import read_rows
from shared_parts.errors import BenchmarkError

LINE = (ROOT / "docs" / "benchmarks" / "learning.jsonl").read_text(encoding="utf-8").splitlines()[0]


def changed(**values: Any) -> str:
    return json.dumps({**json.loads(LINE), **values})


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (f"{LINE}\n{LINE}\n", r"line 2 repeats the run \('ImageNet'"),
        (changed(mAP="x"), r"line 1 is not a finished run \(mAP is 'x' and should be a number\)"),
        (changed(mAP=float("nan")), "mAP is nan and should be a number"),
        (changed(seed="0"), "seed is '0' and should be an integer"),
        ("[1, 2]", "line 1 is not a finished run"),
        (b"\xff\xfe", "is not a file of finished runs"),
    ],
    ids=["twice", "word", "nan", "seed", "list", "binary"],
)
def test_read_rows_refuses_damage(tmp_path: Path, text: str | bytes, message: str) -> None:
    file = tmp_path / "rows.jsonl"
    file.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(BenchmarkError, match=message):
        read_rows(file)


def test_read_rows_counts_a_seed_on_two_processors_as_two_runs(tmp_path: Path) -> None:
    file = tmp_path / "rows.jsonl"
    file.write_text(f"{LINE}\n{changed(device='another')}\n", encoding="utf-8")
    assert [row["device"] for row in read_rows(file)] == [json.loads(LINE)["device"], "another"]
