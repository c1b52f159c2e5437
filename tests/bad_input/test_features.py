"""Feature files that are wrong, and protocols that do not fit them."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from desk import Case, Change, Evil, check, cut, own, write

SCORE = "tools/evaluate_features.py --features f.npz --data-root data "


def arrays(**given: Any) -> Change:
    """Write f.npz anew with some of its arrays changed, or without those that are None."""

    def do(desk: Path) -> None:
        found = dict(np.load(desk / "f.npz")) | given
        np.savez(own(desk, "f.npz"), **{name: value for name, value in found.items() if value is not None})

    return do


CASES = {
    "no features": Case(
        "tools/evaluate_features.py --features g.npz --data-root data --protocol regdb/v2i --split 1",
        "'g.npz' does not exist; it must be a .npz with 'features' (n, D) and 'paths' (n,)",
    ),
    "no archive": Case(
        SCORE + "--protocol regdb/v2i --split 1",
        "'f.npz' is not a .npz file",
        write("f.npz", "x"),
    ),
    "torn archive": Case(
        SCORE + "--protocol regdb/v2i --split 1",
        "'f.npz' is not a .npz file",
        cut("f.npz"),
    ),
    "no paths": Case(
        SCORE + "--protocol regdb/v2i --split 1",
        "'f.npz' has no array paths; it has features",
        arrays(paths=None),
    ),
    "pickled paths": Case(
        SCORE + "--protocol regdb/v2i --split 1",
        "save paths as str, not as object",
        arrays(paths=np.array([Evil()], dtype=object)),
    ),
    "not finite": Case(
        SCORE + "--protocol regdb/v2i --split 1",
        "are not finite, the first: ",
        arrays(features=np.full((20, 4), np.nan)),
    ),
    "other number": Case(
        SCORE + "--protocol regdb/v2i --split 1",
        "features must be (n, D) for n paths; got (3, 4) for ",
        arrays(features=np.ones((3, 4))),
    ),
    "image missing": Case(
        SCORE + "--protocol sysu/official/all/1shot",
        "images have no features, the first: ",
    ),
    "every image missing": Case(
        SCORE + "--protocol llcm/v2i",
        "images have no features, the first: test_",
    ),
    "protocols of two sets": Case(
        SCORE + "--protocol llcm/v2i regdb/v2i",
        "belong to several data sets",
    ),
    "no split": Case(
        SCORE + "--protocol regdb/v2i",
        "RegDB has 10 splits; give the one that the model was trained on, 1 to 10 (--split)",
    ),
    "split of a set without": Case(
        SCORE + "--protocol llcm/v2i --split 1",
        "LLCM has no splits, but split 1 was given",
    ),
    "split of a data set without": Case(
        SCORE + "--dataset LLCM --split 1",
        "LLCM has no splits",
    ),
    "protocol that is none": Case(
        SCORE + "--protocol sysu/all",
        "unknown value 'sysu/all'; available:",
    ),
    "other split": Case(
        SCORE + "--protocol regdb/v2i --split 2",
        "'f.npz' is from a model trained on split 1, but split 2 was given",
    ),
    "unknown protocol": Case(
        SCORE + "--protocol regdb/i2i --split 1",
        "unknown value 'regdb/i2i'; available: ",
    ),
    "merge of something else": Case(
        "tools/evaluate_features.py --merge sysu.yml",
        "'sysu.yml' contains no results",
    ),
}


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_evaluate_features_with_a_mistake_ends_in_one_message(case: Case, desk: Path) -> None:
    check(case, desk)
