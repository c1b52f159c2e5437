"""Images of one's own: three layouts, the division of the identities, and what is said about mistakes."""

import os
import re
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from helpers import small_cfg, vireid
from PIL import Image

from vireid_plugins.data.datasets import OwnFolder, build_dataset
from vireid_plugins.data.datasets.own_csv import read_own_csv
from vireid_plugins.data.datasets.own_folder import logger, numbered
from vireid_plugins.data.datasets.own_images import by_pattern
from vireid_plugins.data.verify import verify
from vireid_plugins.engine import Trainer
from vireid_plugins.engine.train import evaluate
from vireid_plugins.errors import ConfigError, DataError
from vireid_plugins.evaluation import EvaluationPlan
from vireid_plugins.evaluation.protocols import protocols_of

MODALITIES = ("visible", "infrared")
PEOPLE = [f"p{number:02d}" for number in range(10)]
HEADER = "path,identity,camera,modality,split\n"
MARKET = r"(?P<modality>rgb|ir)/(?P<identity>\d+)_c(?P<camera>\d+)s\d_.*"


def write(file: Path) -> Path:
    file.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.full((8, 4, 3), len(file.name), np.uint8)).save(file)
    return file


@pytest.fixture
def own(tmp_path: Path) -> Path:
    """Ten people, two images a modality."""
    for name in MODALITIES:
        for person in PEOPLE:
            for number in range(2):
                write(tmp_path / "own" / name / person / f"{number}.png")
    return tmp_path / "own"


def ids(items: list[tuple[str, int, int]]) -> set[int]:
    return {identity for _, identity, _ in items}


def drawn(dataset: OwnFolder) -> set[str]:
    return {Path(path).parent.name for path, _, _ in dataset.query}


def test_folders_are_divided_by_identity_and_every_image_is_used_once(own: Path) -> None:
    dataset = OwnFolder(str(own.parent))
    assert dataset.folder == own
    used = Counter(path for path, _, _ in (*dataset.train, *dataset.query, *dataset.gallery))
    assert used == Counter(str(file) for file in own.rglob("*.png"))
    assert len(ids(dataset.train)) == len(ids(dataset.query)) == 5
    assert ids(dataset.query) == ids(dataset.gallery)
    assert not ids(dataset.train) & ids(dataset.query)
    assert {dataset.modality(item) for item in dataset.query} == {1}
    assert {dataset.modality(item) for item in dataset.gallery} == {0}
    assert {camera for _, _, camera in dataset.query} == {2}
    assert dataset.listings(1)[0][2] == sorted(dataset.listings(1)[0][2])
    assert sum(len(images) for *_, images in dataset.listings(0)) == len(dataset.gallery)
    assert dataset.listings(0, cameras=[2]) == []


def test_seed_and_share_draw_the_test_identities(own: Path) -> None:
    draws = [drawn(OwnFolder(str(own), seed=seed)) for seed in range(6)]
    assert draws[0] == drawn(OwnFolder(str(own), seed=0))
    assert len({frozenset(draw) for draw in draws}) > 3
    for share, count in ((0.01, 1), (0.3, 3), (0.99, 9), (1.0, 10)):
        assert len(drawn(OwnFolder(str(own), test_share=share))) == count
    # A larger share tests the same people and more.
    assert drawn(OwnFolder(str(own), test_share=0.2)) < drawn(OwnFolder(str(own), test_share=0.6))


def test_draw_keeps_most_sides_when_people_are_added(own: Path) -> None:
    before = drawn(OwnFolder(str(own)))
    for name in MODALITIES:
        write(own / name / "new" / "0.png")
    after = drawn(OwnFolder(str(own))) - {"new"}
    assert len(before ^ after) <= 1


def test_identities_without_a_modality_are_left_out_with_one_warning(
    own: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for person in ("p01", "p02"):
        for file in (own / "infrared" / person).iterdir():
            file.unlink()
    logged: list[str] = []
    monkeypatch.setattr(logger, "warning", lambda text, *words: logged.append(text % words))
    for _ in range(2):
        dataset = OwnFolder(str(own))
        dataset.warn_of_gaps()
        dataset.require_complete()
    (said,) = logged
    assert "2 of 10 identities" in said
    assert "p01, p02" in said
    assert len(ids([*dataset.train, *dataset.query])) == 8
    assert not any("p01" in path for path, _, _ in (*dataset.train, *dataset.gallery))


def test_files_of_systems_and_of_other_kinds_are_passed_over(own: Path) -> None:
    for name in ("Thumbs.db", "._0.png", "notes.txt"):
        (own / "visible" / "p00" / name).write_text("x")
    (own / "visible" / ".hidden").mkdir()
    whole = OwnFolder(str(own))
    assert len([*whole.train, *whole.query, *whole.gallery]) == 40
    write(own / "visible" / "p00" / "0.JPG")
    with pytest.raises(DataError, match=r"'0\.JPG' and '0\.png' differ only in their suffix"):
        OwnFolder(str(own)).train  # noqa: B018


def test_no_person_in_both_folders_is_an_error_that_says_what_would_be_right(own: Path) -> None:
    (own / "visible").rename(own / "old")
    write(own / "visible" / "somebody else" / "0.png")
    with pytest.raises(DataError, match="no identity with both modalities: it has 1 visible and 20 infrared") as error:
        OwnFolder(str(own)).query  # noqa: B018
    assert "visible/<identity>/*" in str(error.value)
    (own / "infrared").rename(own / "ir")
    with pytest.raises(DataError, match=r"lacks infrared. Set DATASETS\.OWN\.ROOT"):
        OwnFolder(str(own), place=str(own))
    with pytest.raises(DataError, match="does not exist"):
        OwnFolder(str(own), place="nowhere")


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"test_share": 0.0}, r"TEST_SHARE: must be above 0 and at most 1, got 0\.0"),
        ({"test_share": 1.5}, "TEST_SHARE"),
        ({"csv": "a", "pattern": "b"}, "set one of them"),
        ({"csv": "absent.csv"}, r"DATASETS\.OWN\.CSV: 'absent\.csv' does not exist"),
        ({"pattern": "("}, "is no regular expression"),
        ({"pattern": r"(?P<identity>\d+)"}, "lacks the group modality"),
        ({"pattern": r"(?P<identity>.)(?P<modality>.)(?P<kamera>.)"}, "unknown group kamera"),
    ],
)
def test_options_that_are_wrong_are_one_error(own: Path, options: dict[str, object], said: str) -> None:
    with pytest.raises((ConfigError, DataError), match=said):
        OwnFolder(str(own), **options)


def lines(own: Path, split: Callable[[str], str], separator: str = ",") -> str:
    rows = [
        separator.join([f"{name}/{person}/{number}.png", person, "east", word, split(person)])
        for name, word in zip(MODALITIES, ("RGB", "ir"), strict=True)
        for person in PEOPLE
        for number in range(2)
    ]
    return HEADER.replace(",", separator) + "\n".join(rows) + "\n"


@pytest.mark.parametrize("separator", [",", ";", "\t"])
@pytest.mark.parametrize("mark", ["", "\ufeff"])
def test_table_with_splits_divides_as_it_says(own: Path, separator: str, mark: str) -> None:
    text = mark + lines(own, lambda person: "train" if person < "p03" else "query", separator).replace("\n", "\r\n")
    (own / "list.csv").write_text(text, encoding="utf-8", newline="")
    for options in ({"csv": str(own / "list.csv")}, {"csv": "list.csv", "place": str(own)}):
        dataset = OwnFolder(str(own), **options)
        assert dataset.folder == own
        assert drawn(dataset) == set(PEOPLE[3:])
        assert len(dataset.train) == 12
        assert {camera for _, _, camera in dataset.query} == {camera for _, _, camera in dataset.gallery} == {0}


def test_table_with_empty_columns_of_a_spreadsheet_is_read(own: Path) -> None:
    (own / "plain.csv").write_text(lines(own, lambda identity: ""))
    (own / "wide.csv").write_text("".join(f"{line},,\n" for line in lines(own, lambda identity: "").splitlines()))
    plain, wide = (read_own_csv(own / name) for name in ("plain.csv", "wide.csv"))
    assert [image._replace(where="") for image in wide] == [image._replace(where="") for image in plain]


def test_table_finds_images_whose_suffix_has_changed(own: Path) -> None:
    (own / "list.csv").write_text(lines(own, lambda _: ""))
    (own / "visible" / "p00" / "0.png").rename(own / "visible" / "p00" / "0.BMP")
    dataset = OwnFolder(str(own), csv=str(own / "list.csv"), test_share=1.0)
    assert str(own / "visible" / "p00" / "0.BMP") in {path for path, _, _ in dataset.gallery}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", r"list\.csv': the header lacks path, identity, modality"),
        ("a.png,1,1,rgb,train\n", "the header lacks path"),
        ("path,identity,modality,path\n", "names a column twice"),
        (HEADER, "lists no image"),
        (HEADER + "\na.png,1,1,rgb\n", r"list\.csv' line 3 has 4 values, and the header names 5 columns"),
        (HEADER + "a.png,,1,rgb,train\n", "line 2 has no identity"),
        (HEADER + "a.png,1,1,purple,train\n", "line 2: unknown modality 'purple'; known are visible, vis"),
        (HEADER + "a.png,1,1,rgb,val\n", "line 2: unknown split 'val'; known are train, test"),
        (HEADER + "/etc/a.png,1,1,rgb,train\n", "line 2 leads out of the folder"),
        (HEADER + "b/../../a.png,1,1,rgb,train\n", "line 2 leads out of the folder"),
        (HEADER + "C:\\a.png,1,1,rgb,train\n", "line 2 leads out of the folder"),
        (HEADER + "a.png,1,1,rgb,train\na.jpg,1,1,ir,train\n", "line 3 repeats line 2"),
        (HEADER + "a.png,1,1,rgb,train\nb.png,1,1,ir,\n", "line 3 has no split, and others have"),
        (
            HEADER + "a.png,1,1,rgb,train\nb.png,1,1,ir,test\n",
            "line 3: identity '1' is in 'test', and in 'train' by .*line 2",
        ),
        (HEADER + 'a.png,"1\n', r"line \d is no line of a table"),
        (HEADER + "a.png,1,1,rgb,train\n", "no identity with both modalities: .*list.csv' lists 1 visible and 0"),
    ],
)
def test_table_that_is_wrong_is_one_error_with_its_line(own: Path, text: str, said: str) -> None:
    (own / "list.csv").write_text(text)
    with pytest.raises(DataError, match=said):
        OwnFolder(str(own), csv=str(own / "list.csv")).query  # noqa: B018


def test_pattern_reads_names_like_those_of_market(tmp_path: Path, log: pytest.LogCaptureFixture) -> None:
    for person in range(1, 7):
        for name, camera in (("rgb", 1), ("ir", 4)):
            write(tmp_path / name / f"{person:04d}_c{camera}s1_000451_03.jpg")
    write(tmp_path / "rgb" / "-1_c1s1_000000_00.jpg")
    dataset = OwnFolder(str(tmp_path), pattern=MARKET)
    assert dataset.folder == tmp_path
    assert ids(dataset.train) | ids(dataset.query) == set(range(1, 7))
    assert {camera for _, _, camera in dataset.query} == {4}
    dataset.warn_of_gaps()
    assert r"1 of 13 images in" in log.text
    assert "does not match DATASETS.OWN.PATTERN" in log.text
    with pytest.raises(DataError, match=r"finds 0 visible and 0 infrared .* 13 that do not match, such as 'ir/0001_c4"):
        OwnFolder(str(tmp_path), pattern="(?P<modality>x)(?P<identity>y)").query  # noqa: B018


def test_pattern_may_have_splits_and_follows_links_once(tmp_path: Path) -> None:
    for person in range(4):
        for name in ("vis", "nir"):
            write(tmp_path / ("train" if person < 2 else "query") / f"{name}_{person}.png")
    (tmp_path / "loop").symlink_to(tmp_path)
    pattern = r"(?P<split>train|query)/(?P<modality>\w+)_(?P<identity>\d)\.png"
    dataset = OwnFolder(str(tmp_path), pattern=pattern)
    assert (ids(dataset.train), ids(dataset.query)) == ({0, 1}, {2, 3})
    assert len(dataset.unmatched) == 0


@pytest.mark.parametrize(
    ("names", "numbers"),
    [
        (["0003", "12"], {"0003": 3, "12": 12}),
        (["1", "01"], {"01": 0, "1": 1}),
        (["b", "a", "7"], {"7": 0, "a": 1, "b": 2}),
        (["\u00b2"], {"\u00b2": 0}),
        ([], {}),
    ],
)
def test_numbered_keeps_numbers_and_counts_names(names: list[str], numbers: dict[str, int]) -> None:
    assert numbered(names) == numbers


def test_protocols_keep_matches_of_people_from_one_camera(own: Path) -> None:
    (own / "list.csv").write_text(lines(own, lambda _: ""))
    plan = EvaluationPlan(OwnFolder(csv=str(own / "list.csv")), protocols_of("OwnFolder", [])).draw()
    assert [protocol.name for protocol in plan.protocols] == ["own/v2i", "own/i2v"]
    for protocol in plan.protocols:
        ((query, gallery),) = plan.trials(protocol)
        assert len(query) == len(gallery) == 10


def test_build_dataset_expands_the_folder(own: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(own.parent))
    dataset = build_dataset(small_cfg("own/one_stream.yml", "DATASETS.OWN.ROOT", "~/own"), "OwnFolder")
    assert dataset.folder == own


def test_verify_names_what_is_left_out_and_what_does_not_decode(own: Path) -> None:
    assert verify("OwnFolder", own, 1).findings == []
    os.truncate(own / "visible" / "p00" / "0.png", 20)
    write(own / "visible" / "p99" / "0.png")
    write(own / "visible" / "loose.png")
    report = verify("OwnFolder", own, 1)
    said = "\n".join(map(str, report.findings))
    assert "loose.png: is in no folder of an identity and is left out" in said
    assert "p00/0.png: cannot be read" in said
    assert "identity p99 has no infrared image and is left out" in said
    assert len(report.findings) == 3
    assert report.images == 40
    assert "your own" in report.source
    with pytest.raises(DataError, match="does not exist"):
        verify("OwnFolder", own / "nowhere", 1)


def test_verify_command_takes_the_keys_of_a_table(own: Path) -> None:
    (own / "list.csv").write_text(lines(own, lambda person: "train" if person < "p03" else "test"))
    ran = vireid("verify", "OwnFolder", str(own), "--workers", "1", "--opts", "DATASETS.OWN.CSV", "list.csv")
    assert ran.returncode == 0, ran.stderr
    assert "40 images decoded; counts compared with nothing, since these are images of your own; 0 find" in ran.stdout
    assert "| train visible  | 6 " in ran.stdout


def test_trained_on_ones_own_images_is_scored_only_on_the_others(little_root: Path, tmp_path: Path) -> None:
    words = [
        *("MODEL.STREAMS.BACKBONE", "build_osnet_backbone", "MODEL.BACKBONE.DEPTH", "x0_25"),
        *("DATASETS.OWN.ROOT", str(little_root / "own"), "OUTPUT_DIR", str(tmp_path / "out")),
    ]
    cfg = small_cfg("own/one_stream.yml", "SOLVER.IMS_PER_BATCH", "8", *words)
    scores = Trainer(cfg).train()
    assert 0 < scores["mAP"] <= 100
    written = (tmp_path / "out" / "evaluation.json").read_text()
    assert "your own protocol" in written
    other = small_cfg("own/one_stream.yml", *words, "DATASETS.OWN.SEED", "1")
    with pytest.raises(DataError, match=r"DATASETS\.OWN\.SEED: 0 -> 1.* tested on identities it was trained on"):
        evaluate(other)
    elsewhere = small_cfg("own/one_stream.yml", *words, "DATASETS.OWN.SEED", "1", "DATASETS.OWN.ROOT", "")
    assert "mAP" in evaluate(elsewhere)


@pytest.mark.parametrize(
    ("content", "said"), [(b"path,identity\n\xff\xfe", "it is not a text file in UTF-8"), (None, "it is a folder")]
)
def test_table_that_is_no_text_names_its_file(own: Path, content: bytes | None, said: str) -> None:
    file = own / "list.csv"
    file.mkdir() if content is None else file.write_bytes(content)
    with pytest.raises(DataError, match=rf"list\.csv' cannot be read: {said}"):
        OwnFolder(str(own), csv=str(file)).query  # noqa: B018


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("train/vis_.png", r"matches DATASETS\.OWN\.PATTERN with an empty identity"),
        ("train/red_1.png", "has the modality 'red'; known are visible, vis"),
        ("all/vis_1.png", "has the split 'all'; known are train, test"),
    ],
)
def test_pattern_with_a_word_that_is_not_known_says_which(tmp_path: Path, name: str, said: str) -> None:
    write(tmp_path / name)
    images, (other,) = by_pattern(tmp_path, r"(?P<split>\w+)/(?P<modality>\w+)_(?P<identity>\d*)\.png")
    assert not images
    assert other.path == name
    assert re.match(said, other.problem)
