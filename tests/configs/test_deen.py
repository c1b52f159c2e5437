"""DEEN's released recipe: ZYK100/LLCM, folder DEEN, all three data sets."""

from dataclasses import replace
from pathlib import Path

import pytest
from recipes import AGW_FAMILY, Erased, Recipe, check_evaluator, check_images, check_recipe, in_steps

VIEW = [("Gray", 0.5), ("PadCrop", 1.0), ("Flip", 0.5), ("Erasing", 0.5)]
MEAN = (0.485, 0.456, 0.406)
SYSU = Recipe(
    **AGW_FAMILY,
    size=(384, 144),
    views={"visible": [VIEW], "infrared": [VIEW]},
    erased=Erased(value=MEAN, aspect=2.34, area=0.459, shares=(0.2, 0.8)),
    batch=(6, 4),
    steps=928,
    rates=in_steps(151, lambda epoch: min(epoch + 1, 10) / 10, (20, 80)),
    flip=True,
    losses={
        "LabelSmoothCE": {"epsilon": 0.0},
        "HardTriplet": {"margin": 0.3},
        "CPM": {"margin": 0.2, "scale": 0.8},
        "Orthogonality": {"scale": 0.01},
    },
    feature=(0.1, 0.9, False),
    metric="inner_product",
    galleries=("sysu/agw/all/1shot", "sysu/agw/indoor/1shot"),
    evaluated=1,
    dropout=0.01,
)
SMALLER = Erased(value=MEAN, aspect=1.96, area=0.200)
RECIPES = {
    "SYSU": SYSU,
    "RegDB": replace(SYSU, steps=86, erased=SMALLER, galleries=("regdb/v2i", "regdb/i2v")),
    "LLCM": replace(SYSU, steps=707, erased=SMALLER, galleries=("llcm/v2i", "llcm/i2v")),
}


@pytest.mark.parametrize("dataset", RECIPES)
def test_deen_equals_released_recipe(dataset: str) -> None:
    check_recipe(f"{dataset}/deen.yml", RECIPES[dataset])


@pytest.mark.parametrize("dataset", RECIPES)
def test_deen_equals_released_images_and_scoring(dataset: str, data_root: Path) -> None:
    check_images(f"{dataset}/deen.yml", RECIPES[dataset])
    check_evaluator(f"{dataset}/deen.yml", RECIPES[dataset])
