"""Thresholds from labeled pairs: which query tells what, and how many strangers they call a match."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from galleries import Colors
from PIL import Image

from vireid_plugins.errors import DataError
from vireid_plugins.search import Condition, Gallery, Record, Where
from vireid_plugins.search.calibration import keep, thresholds_at, thresholds_of
from vireid_plugins.search.pairs import Calibrated, calibrate_with_pairs, read_pairs
from vireid_plugins.search.querying import Wanted

WIDTH = 16


class Drawn(Colors):
    """An extractor of images of 1 x WIDTH pixels whose features are the red values, around 0."""

    def pixels(self, file: Path) -> np.ndarray:
        return np.asarray(Image.open(file).convert("RGB"))

    def features(self, images: list[np.ndarray], modalities: list[int]) -> np.ndarray:
        rows = np.stack([image[0, :, 0] for image in images]).astype(np.float32) - 127.5
        return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def draw(folder: Path, count: int, seed: int) -> list[Path]:
    """Write images of different people, as far from one another as the draw has it."""
    folder.mkdir()
    rows = np.random.default_rng(seed).integers(0, 256, (count, 1, WIDTH, 1), np.uint8).repeat(3, -1)
    for number, row in enumerate(rows):
        Image.fromarray(row).save(folder / f"{number:04}.png")
    return sorted(folder.iterdir())


@pytest.fixture
def drawn(tmp_path: Path) -> Any:
    return Drawn(tmp_path / "weights.pth")


def gallery_of(drawn: Any, folder: Path, files: list[Path]) -> Gallery:
    gallery = Gallery.create(folder, WIDTH, {})
    vectors = drawn.features([drawn.pixels(file) for file in files], [])
    gallery.add([Record(str(file), 0, track=f"t{number}") for number, file in enumerate(files)], vectors)
    return gallery


def write(file: Path, *lines: tuple[object, object, str]) -> Path:
    file.write_text("query,file,same\n" + "".join(f"{query},{image},{same}\n" for query, image, same in lines))
    return file


def calibrate(gallery: Gallery, drawn: Any, file: Path, rate: float = 0.01, wanted: Wanted | None = None) -> Calibrated:
    return calibrate_with_pairs(gallery, drawn, read_pairs(file), "visible", wanted or Wanted(1), rate)


def test_calibrate_with_pairs_takes_the_nearest_wrong_image_only_where_labels_tell_it(
    drawn: Any, tmp_path: Path
) -> None:
    files, queries = draw(tmp_path / "g", 40, 0), draw(tmp_path / "q", 3, 1)
    with gallery_of(drawn, tmp_path / "index", files) as gallery:
        vectors = drawn.features([drawn.pixels(file) for file in queries], [])
        order = [[hit for hit in hits if hit.path] for hits in gallery.search(vectors, 5)]
        told, behind, untold = order
        lines = [
            # Somebody else is nearest; is second, behind an image of the person; is second, behind one without a label.
            (queries[0], told[0].path, "no"), (queries[0], told[3].path, "no"),
            (queries[1], behind[0].path, "YES"), (queries[1], behind[1].path, "0"),
            (queries[2], untold[1].path, "no"),
            (queries[2], queries[2], "1"), ("gone.png", told[0].path, "no"),
        ]  # fmt: skip
        done = calibrate(gallery, drawn, write(tmp_path / "pairs.csv", *lines))
        found = done.thresholds
        assert found == thresholds_at([told[0].cosine, behind[1].cosine], 40, 0.01, 1.0, "marks")
        assert (found.verdict(max(told[0].cosine, behind[1].cosine)), found.least_queries) == ("nobody", 100)
        assert (done.same[0], done.different[0], done.untold) == (1, 4, 1)
        assert [one.file.name for one in done.unread] == ["gone.png"]
        keep(gallery, found)
        assert thresholds_of(gallery) == found


def test_calibrate_with_pairs_searches_with_the_conditions(drawn: Any, tmp_path: Path) -> None:
    files, (query,) = draw(tmp_path / "g", 12, 0), draw(tmp_path / "q", 1, 1)
    with gallery_of(drawn, tmp_path / "index", files) as gallery:
        only = Wanted(1, where=(Condition("folder", "in", tuple(map(str, files[6:]))),))
        (hits,) = gallery.search(drawn.features([drawn.pixels(query)], []), 1, Where(only.where))
        done = calibrate(gallery, drawn, write(tmp_path / "pairs.csv", (query, hits[0].path, "no")), wanted=only)
    assert done.thresholds == thresholds_at([hits[0].cosine], 12, 0.01, 1.0, "marks")
    # A query compares the first with the size of the index, to tell whether it has grown.
    assert (done.thresholds.images, done.searched) == (12, 6)


def strangers(gallery: Gallery, drawn: Any, files: list[Path], done: Calibrated) -> int:
    """Return how many of some images are called a match."""
    vectors = drawn.features([drawn.pixels(file) for file in files], [])
    return sum(done.thresholds.verdict(hits[0].cosine) == "match" for hits in gallery.search(vectors, 1))


def test_calibrate_with_marks_calls_few_of_a_hundred_unknown_people_a_match(drawn: Any, tmp_path: Path) -> None:
    files, queries = draw(tmp_path / "g", 300, 0), draw(tmp_path / "q", 400, 1)
    with gallery_of(drawn, tmp_path / "index", files) as gallery:
        vectors = drawn.features([drawn.pixels(file) for file in queries], [])
        lines = [(query, hits[0].path, "no") for query, hits in zip(queries, gallery.search(vectors, 1), strict=True)]
        done = calibrate(gallery, drawn, write(tmp_path / "pairs.csv", *lines))
        assert (done.thresholds.source, done.thresholds.queries, done.untold) == ("marks", 400, 0)
        assert strangers(gallery, drawn, draw(tmp_path / "u", 100, 2), done) <= 3
        # Not because nothing is a match.
        assert done.different[1] > 0


def test_calibrate_with_random_pairs_does_not_take_the_rate_of_a_pair_for_that_of_a_query(
    drawn: Any, tmp_path: Path
) -> None:
    files, queries, others = (draw(tmp_path / name, count, seed) for name, count, seed in
                              (("g", 200, 0), ("q", 400, 1), ("o", 20, 3)))  # fmt: skip
    with gallery_of(drawn, tmp_path / "index", files) as gallery:
        lines = [(query, other, "no") for query in queries for other in others]
        done = calibrate(gallery, drawn, write(tmp_path / "pairs.csv", *lines), 0.1)
        assert (done.thresholds.source, done.thresholds.images, done.thresholds.least_queries) == ("pairs", 200, 100)
        unknown = draw(tmp_path / "u", 200, 2)
        assert strangers(gallery, drawn, unknown, done) <= 30
        # The rate of a pair would have called nearly all of them a match.
        naive = thresholds_at(_cosines(drawn, queries, others).tolist(), 200, 0.1)
        assert strangers(gallery, drawn, unknown, Calibrated(naive, (0, 0), (0, 0), 200, 0)) > 150


def _cosines(drawn: Any, left: list[Path], right: list[Path]) -> np.ndarray:
    one, two = (drawn.features([drawn.pixels(file) for file in files], []) for files in (left, right))
    return np.asarray((one @ two.T).ravel(), float)


def test_calibrate_with_pairs_of_images_that_are_gone_names_them(drawn: Any, tmp_path: Path) -> None:
    files = draw(tmp_path / "g", 2, 0)
    with (
        gallery_of(drawn, tmp_path / "index", files) as gallery,
        pytest.raises(DataError, match=r"gone\.png' does not"),
    ):
        calibrate(gallery, drawn, write(tmp_path / "pairs.csv", ("gone.png", files[0], "no")))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("query,file\n", "there is no column 'same'; pairs have the columns query, file, same"),
        ("query,file,same\na,b,maybe\n", r"pairs\.csv:2': same is 'maybe'; use yes or no"),
        ("query,file,same\na,,no\n", r"pairs\.csv:2': a pair needs a query and a file"),
    ],
)
def test_read_pairs_of_what_is_wrong_names_the_line(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "pairs.csv").write_text(text)
    with pytest.raises(DataError, match=message):
        read_pairs(tmp_path / "pairs.csv")


def test_read_pairs_of_a_file_that_cannot_be_read_names_it(tmp_path: Path) -> None:
    (tmp_path / "latin.csv").write_bytes(b"query,file,same\n\xff,a,yes\n")
    with pytest.raises(DataError, match=r"latin\.csv' is no text in UTF-8: invalid start byte at byte 16"):
        read_pairs(tmp_path / "latin.csv")
    with pytest.raises(DataError, match=r"none\.csv' cannot be read: No such file or directory"):
        read_pairs(tmp_path / "none.csv")
    with pytest.raises(DataError, match="' cannot be read: it is a folder, not a file"):
        read_pairs(tmp_path)


def test_read_pairs_takes_the_last_line_on_a_pair_and_paths_of_its_folder(tmp_path: Path) -> None:
    write(tmp_path / "pairs.csv", ("a.png", "b/c.png", "no"), (tmp_path / "a.png", "b/c.png", "True"))
    assert read_pairs(tmp_path / "pairs.csv") == {str(tmp_path / "a.png"): {str(tmp_path / "b" / "c.png"): True}}


def test_calibrate_with_pairs_of_one_person_alone_is_refused(drawn: Any, tmp_path: Path) -> None:
    files = draw(tmp_path / "g", 2, 0)
    with (
        gallery_of(drawn, tmp_path / "index", files[:1]) as gallery,
        pytest.raises(DataError, match="label some as 'no'"),
    ):
        calibrate(gallery, drawn, write(tmp_path / "pairs.csv", (files[1], files[0], "yes")))
