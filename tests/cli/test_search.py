"""Search as a user does it: index a folder, find people, add and remove images."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from galleries import Colors, paint
from helpers import python, small_cfg
from PIL import Image

from vireid_plugins.cli import search as verb
from vireid_plugins.cli.main import command_parser, parsed
from vireid_plugins.data.datasets import SYSUMM01
from vireid_plugins.errors import DataError


def search(command: str, *words: str | Path) -> Any:
    return python("tools/search.py", command, *map(str, words))


def test_search_indexes_queries_adds_and_removes(tree: Path, trained: Path, tmp_path: Path) -> None:
    dataset = SYSUMM01(root=str(tree))
    gallery, index = tmp_path / "gallery", ["--index", str(tmp_path / "index")]
    for number, item in enumerate(dataset.gallery[:40]):
        target = gallery / f"person{item[1]}" / f"{number}.jpg"
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(item[0], target)
    model = ["--config-file", str(trained / "config.yaml")]
    made = search("index", gallery, *index, *model)
    assert made.returncode == 0, made.stderr
    assert "40 added, 0 unchanged, 0 removed; 40 images" in made.stdout

    # The image itself is nearest to itself, and an infrared folder can be asked for.
    copy = gallery / f"person{dataset.gallery[3][1]}" / "3.jpg"
    asked = search("query", copy, *index, "--top", "5", "--json", str(tmp_path / "q.json"))
    assert asked.returncode == 0, asked.stderr
    (one,) = json.loads((tmp_path / "q.json").read_text())["queries"]
    assert one["hits"][0]["path"] == str(copy)
    assert one["hits"][0]["cosine"] == pytest.approx(1, abs=1e-4)
    assert [hit["rank"] for hit in one["hits"]] == [1, 2, 3, 4, 5]
    assert "visible" in asked.stdout
    infrared = tmp_path / "night"
    infrared.mkdir()
    for number, item in enumerate(dataset.query[:3]):
        shutil.copy(item[0], infrared / f"{number}.jpg")
    asked = search("query", infrared, *index, "--modality", "folder", "--picture", str(tmp_path / "q.png"))
    assert asked.returncode == 0, asked.stderr
    assert asked.stdout.count("(infrared)") == 3
    assert Image.open(tmp_path / "q.png").width > 500

    # People who are not in it: the three queries, as if they were.
    known = json.loads((tmp_path / "q.json").read_text())
    assert (known["thresholds"], known["queries"][0]["verdict"]) == (None, None)
    strange = search("calibrate", infrared, *index, "--modality", "infrared", "--find", "visible")
    assert "of 3 images of unknown people at most 1.00% are called a match; 3 are too few for it" in strange.stdout
    words = [*index, "--modality", "infrared", "--find", "visible", "--top", "2", "--json", str(tmp_path / "q.json")]
    asked = search("query", infrared, *words)
    assert asked.returncode == 0, asked.stderr
    known = json.loads((tmp_path / "q.json").read_text())
    assert known["thresholds"]["queries"] == 3
    # The best of three is at the lower threshold's edge, which is not accepted either.
    assert [one["verdict"] for one in known["queries"]] == ["nobody"] * 3
    assert [hit["modality"] for one in known["queries"] for hit in one["hits"]] == ["visible"] * 6

    marks = "".join(f"{one['query']},{one['hits'][0]['path']},no\n" for one in known["queries"])
    (tmp_path / "index" / "marks.csv").write_text(f"query,file,same\n{marks}")
    marked = search("calibrate", "--pairs", *index, "--modality", "infrared", "--find", "visible")
    assert "of 3 queries without an image of their person at most 1.00%" in marked.stdout, marked.stderr
    assert "0 of 0 pairs of one person, 0 of 3 of different people" in marked.stdout
    neither = search("calibrate", *index)
    assert "needs a folder of images of people who are not in the index, or --pairs" in neither.stderr

    # Bring it up to date: one image gone, one new, one changed.
    removed, changed = gallery / f"person{dataset.gallery[0][1]}" / "0.jpg", copy
    removed.unlink()
    shutil.copy(dataset.gallery[50][0], gallery / "new.jpg")
    shutil.copy(dataset.gallery[60][0], changed)
    again = search("index", gallery, *index, *model)
    assert "2 added, 38 unchanged, 1 removed; 40 images" in again.stdout, again.stderr
    asked = search("query", gallery / "new.jpg", *index, "--json", str(tmp_path / "q.json"))
    (one,) = json.loads((tmp_path / "q.json").read_text())["queries"]
    assert one["hits"][0]["path"] == str(gallery / "new.jpg")
    assert str(removed) not in [hit["path"] for hit in one["hits"]]

    refused = search("index", gallery, "--index", str(gallery), *model)
    assert refused.returncode == 1
    assert "exists and is not a gallery" in refused.stderr
    assert changed.is_file()

    gone = search("remove", gallery / "new.jpg", *index)
    assert "removed 1; 39 images" in gone.stdout, gone.stderr
    again = search("remove", gallery / "new.jpg", *index)
    assert again.returncode == 1
    assert "has no image there" in again.stderr


def test_search_with_other_weights_is_refused(tree: Path, trained: Path, tmp_path: Path) -> None:
    images = tree / "SYSU-MM01" / "cam1"
    weights = tmp_path / "weights.pth"
    shutil.copy(trained / "model_final.pth", weights)
    config = ["--config-file", str(trained / "config.yaml")]
    words = ["--index", str(tmp_path / "index"), *config, "--modality", "visible"]
    made = search("index", images, *words, "--weights", str(weights))
    assert made.returncode == 0, made.stderr
    checkpoint = torch.load(weights, weights_only=True)
    next(iter(checkpoint["model"].values())).add_(1)
    torch.save(checkpoint, weights)
    asked = search("query", images, "--index", str(tmp_path / "index"))
    assert asked.returncode == 1
    assert "have changed since the gallery was made" in asked.stderr
    again = search("index", images, *words, "--weights", str(weights))
    assert again.returncode == 1
    assert "choose another folder with --index" in again.stderr
    weights.unlink()
    asked = search("query", images, "--index", str(tmp_path / "index"))
    assert "which no longer exist" in asked.stderr


def test_search_index_says_what_is_unsure_unknown_or_not_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    paint(tmp_path / "g", "1.jpg", "2.jpg")
    (tmp_path / "g" / "2.jpg").write_bytes(b"no image")
    (tmp_path / "facts.csv").write_text("file,camera\ng/1.jpg,1\ng/3.jpg,3\ng/4.jpg,3\n")
    monkeypatch.setattr(verb, "trained_config", lambda args, device: small_cfg("SYSU/one_stream.yml"))
    monkeypatch.setattr("vireid_plugins.search.Extractor", lambda cfg: Colors(tmp_path / "weights.pth"))
    monkeypatch.setattr("vireid_plugins.search.modality.guess_modality", lambda picture: (0, 0.5))
    index, facts = str(tmp_path / "index"), str(tmp_path / "facts.csv")
    args = parsed(command_parser(), ["search", "index", str(tmp_path / "g"), "--index", index, "--metadata", facts])
    with pytest.raises(DataError, match=r"^not read: '.*g/2\.jpg' .*\. The other images are in '.*index'$"):
        args.main(args)
    said = capsys.readouterr().out
    assert f"the metadata names 2 images that '{tmp_path / 'g'}' does not have, the first '{tmp_path}/g/3.jpg'" in said
    assert f"unsure  {tmp_path}/g/1.jpg: indexed as visible" in said
    assert (
        "1 images may be visible or infrared; if any of them is indexed as the wrong one: vireid search index" in said
    )
    assert f"not read  '{tmp_path}/g/2.jpg'" in said


def test_search_of_tracks_names_their_frames(tree: Path, trained: Path, tmp_path: Path) -> None:
    crops, index = tmp_path / "crops", ["--index", tmp_path / "index"]
    crops.mkdir()
    for number, item in enumerate(SYSUMM01(root=str(tree)).gallery[:3]):
        shutil.copy(item[0], crops / f"{number}.jpg")
    lines = ["file,camera,track,time", "0.jpg,north,t,7", "1.jpg,north,t,5", "2.jpg,north,,1"]
    (crops / "crops.csv").write_text("\n".join(lines) + "\n")
    words = ["--config-file", trained / "config.yaml", "--tracks", "mean", "--modality", "visible"]
    made = search("index", crops, *index, *words)
    assert "3 images in 2 tracks and images without one" in made.stdout, made.stderr
    asked = search("query", crops / "2.jpg", *index, "--modality", "visible", "--json", tmp_path / "q.json")
    assert "frames" in asked.stdout, asked.stderr
    (one,) = json.loads((tmp_path / "q.json").read_text())["queries"]
    (hit,) = (hit for hit in one["hits"] if hit["track"] == "t")
    assert [(Path(frame["path"]).name, frame["time"][:19]) for frame in hit["frames"]] == [
        *(("1.jpg", "1970-01-01T00:00:05"), ("0.jpg", "1970-01-01T00:00:07"))
    ]
    refused = search("index", crops, *index, *words[:2], "--tracks", "best")
    assert "was made with --tracks mean" in refused.stderr


def test_search_index_with_an_empty_address_is_an_error(capsys: pytest.CaptureFixture[str]) -> None:
    """As of a variable that is not set; the index would be in the folder, and not on the server."""
    with pytest.raises(SystemExit) as ended:
        parsed(command_parser(), ["search", "index", "g", "--index", "i", "--model", "m", "--uri", ""])
    assert ended.value.code == 2
    assert "argument --uri: is empty; write http://HOST:19530, or leave it out" in capsys.readouterr().err
