"""Settings, their means and deviations, and the three kinds of tables."""

import csv
import io
import json
import shutil
from pathlib import Path
from statistics import stdev

import numpy as np
import pytest
from helpers import vireid
from written_runs import SYSU, write_run

from vireid_plugins.config import load_config
from vireid_plugins.errors import DataError
from vireid_plugins.experiments.collect import Row, Value, collect
from vireid_plugins.experiments.runs import find_runs, score_of
from vireid_plugins.experiments.tables import csv_table, latex, latex_text, markdown


def test_collect_averages_seeds_of_equal_settings(tmp_path: Path) -> None:
    for seed, level in enumerate((0.2, 0.3, 0.7)):
        write_run(tmp_path / "deep" / f"low-{seed}", [level] * 4, "SOLVER.BASE_LR", "0.1", seed=seed)
    # Another place, device and number of workers are no other setting.
    write_run(tmp_path / "high", [0.5] * 4, "SOLVER.BASE_LR", "0.2", "DATALOADER.NUM_WORKERS", "7", seed=0)
    write_run(tmp_path / "higher", [0.7] * 4, "SOLVER.BASE_LR", "0.2", "MODEL.WEIGHTS", "x.pth", seed=1)
    (tmp_path / "empty").mkdir()
    found = collect(tmp_path)
    assert found.remarks == []
    assert [(row.protocol, row.seeds, row.splits) for row in found.rows] == [(SYSU, 3, 0), (SYSU, 2, 0)]
    method = load_config("SYSU/one_stream.yml").MODEL.META_ARCHITECTURE
    assert [row.setting for row in found.rows] == [f"{method} (base_lr={rate})" for rate in (0.1, 0.2)]
    low = found.rows[0].scores["mAP"]
    assert low.mean == pytest.approx(40)
    assert low.deviation == pytest.approx(stdev([20, 30, 70]))
    assert found.rows[1].scores["mAP"] == pytest.approx((60, stdev([50, 70])))


def test_collect_takes_results_on_other_sets_with_their_run(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run", [0.25] * 4)
    for name, level in [("model_final-LLCM", 0.5), ("model_final", 0.9), ("model_best-LLCM", 0.9),
                        ("model_final-LLCM-TEST.FLIP.ENABLED=True", 0.9)]:  # fmt: skip
        write_run(run / "evaluated" / name, [level] * 4, protocol=SYSU if name == "model_final" else "llcm/v2i")
    rows = {row.protocol: row for row in collect(tmp_path).rows}
    assert {name: row.scores["mAP"].mean for name, row in rows.items()} == {SYSU: 25.0, "llcm/v2i": 50.0}
    assert {row.setting for row in rows.values()} == {rows[SYSU].setting}
    # Named, each folder of results is a run.
    assert collect(run / "evaluated" / "model_best-LLCM").rows[0].scores["mAP"].mean == pytest.approx(90)


def test_collect_of_one_run_has_no_deviation(tmp_path: Path) -> None:
    write_run(tmp_path / "run", [0.25] * 4)
    (row,) = collect(tmp_path / "run").rows
    assert row.scores["mAP"] == Value(25.0, None)
    for table in (markdown([row]), csv_table([row]), latex([row])):
        assert "±" not in table
        assert "pm" not in table
        assert "nan" not in table


def test_collect_averages_splits_before_seeds(tmp_path: Path) -> None:
    regdb = {"config": "RegDB/one_stream.yml", "protocol": "regdb/v2i"}
    for seed, split, level in [(0, 1, 0.1), (0, 2, 0.3), (1, 1, 0.5), (1, 2, 0.9)]:
        write_run(tmp_path / f"{seed}{split}", [level] * 2, seed=seed, split=split, **regdb)
    (row,) = collect(tmp_path).rows
    assert (row.seeds, row.splits) == (2, 2)
    assert row.scores["mAP"] == pytest.approx((45, stdev([20, 70])))
    # One seed alone: the deviation over its splits.
    write_run(tmp_path / "third", [0.2] * 2, seed=2, split=1, **regdb)
    again = collect(tmp_path)
    assert again.rows == [row]
    assert again.remarks == [f"seed 2 of {row.setting} is left out: it has the splits [1] of [1, 2]"]


def test_collect_of_one_seed_has_the_deviation_over_splits(tmp_path: Path) -> None:
    for split, level in [(1, 0.1), (2, 0.3), (3, 0.8)]:
        write_run(tmp_path / f"s{split}", [level] * 2, split=split, config="RegDB/one_stream.yml", protocol="regdb/v2i")
    (row,) = collect(tmp_path).rows
    assert (row.seeds, row.splits) == (1, 3)
    assert row.scores["mAP"] == pytest.approx((40, stdev([10, 30, 80])))


def test_collect_leaves_out_a_run_with_the_seed_of_another(tmp_path: Path) -> None:
    write_run(tmp_path / "a", [0.2] * 2)
    write_run(tmp_path / "b", [0.8] * 2)
    found = collect(tmp_path)
    assert found.rows[0].scores["mAP"].mean == pytest.approx(20)
    assert found.remarks == [f"'{tmp_path / 'b'}' is left out: it has the setting and seed of '{tmp_path / 'a'}'"]


def test_collect_leaves_out_scores_of_an_earlier_epoch(tmp_path: Path) -> None:
    epochs = ["SOLVER.MAX_EPOCH", "60"]
    for name, seed, epoch in [("a", 0, 60), ("b", 1, 20)]:
        file = write_run(tmp_path / name, [0.2] * 2, *epochs, seed=seed) / "evaluation.json"
        file.write_text(json.dumps(json.loads(file.read_text()) | {"provenance": {"epoch": epoch}}))
    found = collect(tmp_path)
    assert [row.seeds for row in found.rows] == [1]
    assert found.remarks == [f"'{tmp_path / 'b'}' is left out: its scores are of 20 of 60 epochs"]
    with pytest.raises(DataError, match=r"is finished: .*20 of 60 epochs"):
        collect(tmp_path / "b")


def test_collect_follows_links_and_counts_a_run_once(tmp_path: Path) -> None:
    write_run(tmp_path / "elsewhere" / "b", [0.4] * 2, seed=1)
    write_run(tmp_path / "logs" / "z", [0.2] * 2)
    (tmp_path / "logs" / "a_link").symlink_to(tmp_path / "elsewhere" / "b", target_is_directory=True)
    (tmp_path / "logs" / "again").symlink_to(tmp_path / "logs" / "z", target_is_directory=True)
    (tmp_path / "logs" / "z" / "loop").symlink_to(tmp_path / "logs", target_is_directory=True)
    assert find_runs(tmp_path / "logs") == [tmp_path / "logs" / "a_link", tmp_path / "logs" / "z"]
    found = collect(tmp_path / "logs")
    assert (found.rows[0].seeds, found.remarks) == (2, [])
    assert found.rows[0].scores["mAP"].mean == pytest.approx(30)


def test_collect_of_what_is_no_run_is_one_error(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="holds no run with scores"):
        collect(tmp_path)
    with pytest.raises(DataError, match="is no folder"):
        collect(tmp_path / "none")
    write_run(tmp_path / "run", [0.2] * 2)
    (tmp_path / "run" / "evaluation.json").write_text('{"results": [{"protocol": 1}]}')
    with pytest.raises(DataError, match="holds no scores; write it again"):
        collect(tmp_path)
    (tmp_path / "run" / "config.yaml").write_text("a: [")
    with pytest.raises(DataError, match=r"config.yaml"):
        collect(tmp_path)


def test_collect_of_runs_without_a_score_in_common_names_their_setting(tmp_path: Path) -> None:
    write_run(tmp_path / "0", [0.2] * 2)
    other = write_run(tmp_path / "1", [0.2] * 2, seed=1, mean={"Rank-5": 50.0})
    with pytest.raises(DataError, match=f"the runs of .* have no score in common under {SYSU}"):
        collect(tmp_path)
    shutil.rmtree(other)
    assert collect(tmp_path).rows


def test_score_of_a_run_is_a_number_or_names_what_there_is(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run", [0.2] * 2)
    assert score_of(run, SYSU, "mAP") == pytest.approx(20)
    with pytest.raises(DataError, match=r"has no mAQ under sysu/official/all/1shot; it has .*mAP"):
        score_of(run, SYSU, "mAQ")


ROWS = [
    Row("a_b & 5%", "p/1", 3, 0, {"mAP": Value(50.0, 1.0), "Rank-1": Value(10.0, None)}),
    Row("c", "p/1", 3, 0, {"mAP": Value(60.0, 2.0), "Rank-1": Value(30.0, None)}),
    Row("d|e", "p/1", 1, 0, {"mAP": Value(40.0, None), "Rank-1": Value(29.999, None)}),
    Row("c", "p/2", 2, 10, {"mAP": Value(1.0, None)}),
]


def test_latex_has_booktabs_the_best_bold_and_the_second_underlined() -> None:
    lines = latex(ROWS).splitlines()
    assert lines[1] == r"\begin{tabular}{lcc}"
    assert [line for line in lines if line.endswith("rule")] == [r"\toprule", r"\midrule", r"\midrule", r"\bottomrule"]
    assert r"a\_b \& 5\% & \underline{50.00} $\pm$ 1.00 & 10.00 \\" in lines
    assert r"c & \textbf{60.00} $\pm$ 2.00 & \textbf{30.00} \\" in lines
    # What prints like the best is as good.
    assert r"d|e & 40.00 & \textbf{30.00} \\" in lines
    assert r"\multicolumn{3}{l}{\emph{p/2; 2 seeds, 10 splits}} \\" in lines
    assert r"c & 1.00 & -- \\" in lines


def test_latex_text_escapes_every_special_character() -> None:
    assert latex_text("\\&%$#_{}~^<>\n") == (
        r"\textbackslash{}\&\%\$\#\_\{\}\textasciitilde{}\textasciicircum{}\textless{}\textgreater{}"
        r"\textbackslash{}n"
    )


def test_csv_and_markdown_keep_every_name_and_number() -> None:
    rows = list(csv.DictReader(io.StringIO(csv_table(ROWS))))
    assert [row["setting"] for row in rows] == ["a_b & 5%", "c", "d|e", "c"]
    assert [row["mAP deviation"] for row in rows] == ["1.0", "2.0", "", ""]
    assert float(rows[2]["Rank-1"]) == 29.999
    lines = markdown(ROWS).splitlines()
    headers = ["setting", "protocol", "seeds", "splits", "mAP", "Rank-1"]
    assert [cell.strip() for cell in lines[0].strip("|").split("|")] == headers
    assert r"d\|e" in lines[4]
    assert "50.00 ± 1.00" in lines[2]


def test_collect_writes_a_table_and_says_on_standard_error_what_is_left_out(tmp_path: Path) -> None:
    for name in ("a", "b"):
        write_run(tmp_path / "runs" / name, np.full(4, 0.25))
    ran = vireid("collect", str(tmp_path / "runs"), "--format", "latex", "--output", str(tmp_path / "t" / "x.tex"))
    assert ran.returncode == 0, ran.stderr
    assert (tmp_path / "t" / "x.tex").read_text().endswith("\\end{tabular}\n")
    assert ran.stderr.startswith("note: ")
    plain = vireid("collect", str(tmp_path / "runs"), "--format", "csv")
    assert plain.stdout.splitlines()[0].startswith("setting,protocol,seeds,splits,Rank-1,")
    assert len(plain.stdout.splitlines()) == 2
