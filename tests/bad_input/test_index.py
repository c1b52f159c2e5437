"""Galleries of images that are missing, torn or malicious, and what is asked of them."""

from pathlib import Path

import numpy as np
import pytest
from desk import FINAL, Case, Evil, check, cut, drop, own

QUERY = "tools/search.py query night --index people.index"
INDEX = f"--config-file sysu.yml --weights {FINAL}"


def vectors_that_run(desk: Path) -> None:
    """Write a gallery's vectors as a pickle that runs a command."""
    np.save(own(desk, "people.index/segment.1.npy"), np.array([Evil()], dtype=object))


def change_model(desk: Path) -> None:
    """Write weights of another digest under the name that the gallery knows."""
    own(desk, FINAL).write_bytes(b"others")


CASES = {
    "none": Case(
        "tools/search.py query night --index nowhere",
        "'nowhere' is not a gallery; create one: vireid search index IMAGES --index nowhere",
    ),
    "torn": Case(
        QUERY,
        "the gallery 'people.index' is damaged",
        cut("people.index/gallery.db"),
    ),
    "vectors that run": Case(
        QUERY,
        "the gallery 'people.index' is damaged",
        vectors_that_run,
    ),
    "vectors missing": Case(
        QUERY,
        "the gallery 'people.index' is damaged",
        drop("people.index/segment.1.npy"),
    ),
    "weights gone": Case(
        QUERY,
        "which no longer exist",
        drop(FINAL),
    ),
    "weights that have changed": Case(
        QUERY,
        "have changed since the gallery was made; index the images again, or name the file with the weights used then",
        change_model,
    ),
    "weights that were moved elsewhere": Case(
        QUERY + " --weights moved.pth",
        "--weights: 'moved.pth' does not exist",
    ),
    "weights that others made": Case(
        QUERY + " --weights sysu.yml",
        "--weights: 'sysu.yml' are not the weights that the gallery was made with",
    ),
    "an odd override": Case(
        "tools/search.py index night --index new.index " + INDEX + " --opts INPUT.SIZE_TEST",
        "INPUT.SIZE_TEST",
    ),
    "another configuration": Case(
        "tools/search.py index night --index people.index " + INDEX + " --opts INPUT.SIZE_TEST [64,48]",
        "was made with other keys, then -> now: INPUT.SIZE_TEST: [64, 32] -> [64, 48]; use its keys",
    ),
    "no such device": Case(
        QUERY + " --device gpu",
        "--device: invalid device 'gpu'; use cpu, cuda or cuda:N",
    ),
    "no CUDA": Case(
        QUERY + " --device cuda",
        "--device: torch finds no CUDA device for 'cuda'; use cpu",
    ),
    "an empty folder that held images": Case(
        "tools/search.py index night --index people.index " + INDEX,
        "'night' contains no image; images end in .jpg, .jpeg, .png, .bmp, .tif, .tiff, .pgm, .webp. The gallery has 3",
        drop("night/*.jpg"),
    ),
    "no images": Case(
        "tools/search.py index empty --index new.index " + INDEX,
        "'empty' contains no image; images end in .jpg",
        lambda desk: (desk / "empty").mkdir(),
    ),
    "no folder": Case(
        "tools/search.py query gone --index people.index",
        "'gone' does not exist; images end in .jpg",
    ),
    "something else there": Case(
        "tools/search.py index night --index data " + INDEX,
        "'data' exists and is not a gallery; refusing to overwrite it",
    ),
    "modality": Case(
        QUERY + " --modality ir",
        "--modality: unknown value 'ir'; available: auto, folder, infrared, visible",
    ),
    "torn query": Case(
        QUERY,
        "not read: 'night/0.jpg' cannot be read: image file is truncated",
        cut("night/*.jpg", first=1),
    ),
    "torn image": Case(
        "tools/search.py index night --index new.index " + INDEX,
        "not read: 'night/0.jpg' cannot be read: image file is truncated",
        cut("night/*.jpg", first=1),
    ),
    "a picture of what is gone": Case(
        "tools/search.py query night/1.jpg --index people.index --picture q.png",
        "night/0.jpg' no longer exists; index its folder where it is now, and remove the images that are gone",
        drop("night/0.jpg"),
    ),
    "a rate in percent": Case(
        "tools/search.py calibrate night --index people.index --rate 5",
        "argument --rate: must be from 0 to 1, got 5",
        code=2,
    ),
    "nothing to remove": Case(
        "tools/search.py remove day --index people.index",
        "'day': the gallery 'people.index' has no image there",
    ),
}


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_search_with_a_mistake_ends_in_one_message(case: Case, desk: Path) -> None:
    check(case, desk)
