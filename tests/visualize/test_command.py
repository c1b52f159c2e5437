"""`vireid visualize` as a user calls it, on two runs."""

import shutil
from pathlib import Path

import pypdf
import pytest
from commands import Ran
from helpers import commands

from vireid_plugins.data.datasets import SYSUMM01


@pytest.fixture(scope="module")
def runs(trained: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the same network as two runs, `ours` and `theirs`."""
    folder = tmp_path_factory.mktemp("runs")
    for name in ("ours", "theirs"):
        shutil.copytree(trained, folder / name)
    return folder


def draw(runs: Path, little_tree: Path, figure: str, *words: str, beside: str = "theirs") -> Ran:
    config = ["ours", *(["--beside", beside] if beside else [])]
    return commands().run(
        ["vireid", "visualize", figure, *config, *words], runs, {"FASTREID_DATASETS": str(little_tree)}
    )


def words_of(file: Path) -> str:
    return "\n".join(page.extract_text() for page in pypdf.PdfReader(file).pages)


@pytest.mark.parametrize(
    ("figure", "options", "says"),
    [
        ("rank", ["--queries", "2", "--top-k", "3", "--seed", "1"], "blue with a tick: correct"),
        ("cmc", ["--ranks", "5"], "mean of all trials, rank position (distinct identities)"),
        ("dir", [], "sysu/official/all/1shot/open, mean of all draws of enrolled identities"),
        ("cam", ["--identities", "1"], "yellow regions contribute most"),
        ("distances", [], "overlap "),
    ],
)
def test_visualize_of_two_runs_draws_both_with_their_names(
    runs: Path, little_tree: Path, tmp_path: Path, figure: str, options: list[str], says: str
) -> None:
    file = tmp_path / "a.pdf"
    drawn = draw(runs, little_tree, figure, *options, "--width", "8", "--output", str(file))
    assert drawn.code == 0, drawn.err
    assert says in drawn.out
    text = words_of(file).replace("\n", " ")
    assert text.index("WRIMNet (theirs)") < text.index("WRIMNet (ours)")


def test_visualize_rank_draws_the_queries_that_are_named(runs: Path, little_tree: Path, tmp_path: Path) -> None:
    path, identity, _ = SYSUMM01(root=str(little_tree)).query[-1]
    options = ["--top-k", "2", "--output", str(tmp_path / "a.svg"), "--query", path]
    drawn = draw(runs, little_tree, "rank", *options, "--query", str(identity), beside="")
    assert drawn.code == 0, drawn.err
    assert (tmp_path / "a.svg").read_text().count("<image") == 2 * 3
    refused = draw(runs, little_tree, "rank", *options, "--query", "nobody", beside="")
    assert refused.code == 1
    assert "--query: 'nobody' is no query with a match" in refused.err
    assert "Traceback" not in refused.err


def test_visualize_of_runs_under_different_protocols_is_refused(runs: Path, little_tree: Path, tmp_path: Path) -> None:
    other = ["TEST.PROTOCOLS", "['sysu/official/indoor/1shot']"]
    drawn = draw(runs, little_tree, "rank", "--output", str(tmp_path / "a.pdf"), *other)
    assert drawn.code == 1
    assert "Traceback" not in drawn.err
    assert (
        "the runs have different protocols, so their queries cannot be compared: sysu/official/all/1shot, " in drawn.err
    )
    assert not (tmp_path / "a.pdf").exists()
