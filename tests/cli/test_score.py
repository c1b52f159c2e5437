"""`vireid score` with labels of one's own, and with features and paths in two files."""

import json
from pathlib import Path

import numpy as np
import pytest
from helpers import vireid
from scipy.io import savemat

from vireid_plugins.data.datasets import RegDB
from vireid_plugins.evaluation import evaluate_protocol, evaluate_ranking

IDS = np.arange(20) % 5
FEATURES = np.eye(5)[IDS] + 0.4 * np.random.default_rng(1).standard_normal((20, 5))


@pytest.fixture
def files(tmp_path: Path) -> Path:
    np.save(tmp_path / "F.npy", FEATURES)
    (tmp_path / "ids.txt").write_text("".join(f"p{number}\n" for number in IDS))
    (tmp_path / "modalities.txt").write_text("rgb\n" * 10 + "ir\n" * 10)
    np.save(tmp_path / "D.npy", -FEATURES[10:] @ FEATURES[:10].T)
    (tmp_path / "one_side.txt").write_text("".join(f"{number}\n" for number in IDS[10:]))
    sides = {"query_f": FEATURES[10:], "query_label": IDS[10:], "gallery_f": FEATURES[:10], "gallery_label": IDS[:10]}
    savemat(tmp_path / "result.mat", sides)
    return tmp_path


def test_score_of_labels_as_an_open_set_prints_both_directions(files: Path) -> None:
    words = ["--features", "F.npy", "--ids", "ids.txt", "--modalities", "modalities.txt", "--open"]
    ran = vireid("score", *words, cwd=files)
    assert ran.returncode == 0, ran.stderr
    header, _, *rows = ran.stdout.splitlines()[1:]
    assert "| TPIR@FPIR=1%" in header
    assert [row.split("|")[1].strip() for row in rows] == [f"{way}/open (your own labels)" for way in ("i2v", "v2i")]


def test_score_with_affinity_inference_says_its_numbers(files: Path) -> None:
    words = ["--features", "F.npy", "--ids", "ids.txt", "--modalities", "modalities.txt", "--aim"]
    for numbers, said in (([], "k1 8, k2 2"), (["4", "1"], "k1 4, k2 1")):
        ran = vireid("score", *words, *numbers, cwd=files)
        assert ran.returncode == 0, ran.stderr
        assert f"| i2v (your own labels) + affinity inference ({said}) |" in ran.stdout
    ran = vireid("score", *words, "4", cwd=files)
    assert ran.returncode != 0
    assert "--aim takes k1 and k2, or nothing; got 1 numbers" in ran.stderr


def test_score_of_labels_prints_both_directions_and_says_whose_they_are(files: Path) -> None:
    words = ["--features", "F.npy", "--ids", "ids.txt", "--modalities", "modalities.txt", "--json", "o.json"]
    ran = vireid("score", *words, cwd=files)
    assert ran.returncode == 0, ran.stderr
    assert ran.stdout.startswith("your own labels, no camera rule, cosine distance, no re-ranking; in percent:")
    results = json.loads((files / "o.json").read_text())["results"]
    assert [(result["protocol"], result["note"]) for result in results] == [
        ("i2v", "your own labels"),
        ("v2i", "your own labels"),
    ]
    for result in results:
        assert f"| {result['protocol']} (your own labels) | {result['mean']['Rank-1']:.2f} " in ran.stdout
    # A file with both sides, under the names that another program gave them, is the same.
    one = vireid("score", "--features", "result.mat", "--json", "mat.json", cwd=files)
    assert one.returncode == 0, one.stderr
    (found,) = json.loads((files / "mat.json").read_text())["results"]
    assert found["mean"] == pytest.approx(results[0]["mean"])


def test_score_of_identities_with_zeros_in_front_keeps_them_apart(files: Path) -> None:
    np.save(files / "small.npy", np.array([[0.1, 0.2, 0.3], [0.2, 0.3, 0.1]]))
    (files / "q.txt").write_text("007\n12\n")
    (files / "g.txt").write_text("7\n007\n12\n")
    (files / "numbers.txt").write_text("7\n12\n12\n")
    words = ["--distance", "small.npy", "--query-ids", "q.txt", "--json", "o.json"]
    assert vireid("score", *words, "--gallery-ids", "g.txt", cwd=files).returncode == 0
    mean = json.loads((files / "o.json").read_text())["results"][0]["mean"]
    assert (mean["Rank-1"], mean["mAP"]) == (50.0, 75.0)
    # A file of whole numbers alone is of names, too, if the other one is.
    assert vireid("score", *words, "--gallery-ids", "numbers.txt", cwd=files).returncode == 0
    mean = json.loads((files / "o.json").read_text())["results"][0]["mean"]
    assert (mean["Rank-1"], mean["mAP"]) == (100.0, pytest.approx(100 * (1 + 2 / 3) / 2))


def test_score_of_distances_is_evaluate_ranking(files: Path) -> None:
    labels = ["--query-ids", "one_side.txt", "--gallery-ids", "one_side.txt", "--cmc", "distinct_id"]
    ran = vireid("score", "--distance", "D.npy", *labels, "--json", "o.json", cwd=files)
    assert ran.returncode == 0, ran.stderr
    expected = evaluate_ranking(np.load(files / "D.npy"), IDS[10:], IDS[10:], cmc="distinct_id")
    (result,) = json.loads((files / "o.json").read_text())["results"]
    assert result["mean"]["mAP"] == pytest.approx(100 * expected.mAP)
    assert (result["cmc"], result["metric"]) == ("distinct_id", "given")


def test_score_under_a_protocol_takes_paths_from_a_file_of_their_own(little_tree: Path, tmp_path: Path) -> None:
    """The data root is $FASTREID_DATASETS where none is given."""
    dataset = RegDB(root=str(little_tree), split=2)
    paths = [dataset.relative(item) for item in (*dataset.query, *dataset.gallery)]
    features = np.random.default_rng(0).standard_normal((len(paths), 4))
    np.save(tmp_path / "F.npy", features)
    (tmp_path / "paths.txt").write_text("\n".join(paths))
    words = ["--features", "F.npy", "--paths", "paths.txt", "--protocol", "regdb/v2i", "--split", "2"]
    ran = vireid("score", *words, cwd=tmp_path, FASTREID_DATASETS=str(little_tree))
    assert ran.returncode == 0, ran.stderr
    expected = evaluate_protocol(features, paths, "regdb/v2i", little_tree, 2)
    assert f"{expected.means['mAP']:.2f} |" in ran.stdout


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("", "needs --features and --protocol, --dataset or labels"),
        ("--features F.npy", "'F.npy': found features; needed are"),
        ("--features F.npy --ids absent.txt --modalities modalities.txt", "'absent.txt' does not exist"),
        ("--features result.mat:query", "--features: 'result.mat' has no array query; it has query_f, query_label"),
        ("--features F.npy --ids result.mat --modalities modalities.txt", "--ids: 'result.mat' has no array ids; it"),
        ("--features F.npy --ids ids.txt --dataset RegDB", "--ids is for labels of your own"),
        ("--features F.npy --ids ids.txt --split 2", "belong to a --protocol or --dataset"),
        ("--features F.npy --paths ids.txt --dataset LLCM --data-root .", "LLCM is incomplete"),
        ("--features F.npy --paths one_side.txt --dataset LLCM", "'F.npy' has features (20, 5), and 'one_side.txt' 10"),
        ("--features result.mat --paths ids.txt --dataset LLCM", "'result.mat' has no array features; it has query_f"),
    ],
)
def test_score_of_what_does_not_fit_is_one_error(files: Path, words: str, said: str) -> None:
    ran = vireid("score", *words.split(), cwd=files)
    assert ran.returncode in (1, 2)
    assert said in ran.stderr, ran.stderr
    assert "Traceback" not in ran.stderr
