"""AGW's released recipe: mangye16/Cross-Modal-Re-ID-baseline for SYSU-MM01 and RegDB, ZYK100/LLCM for LLCM."""

from dataclasses import replace
from pathlib import Path

import pytest
from recipes import AGW_FAMILY, Erased, Recipe, check_evaluator, check_images, check_recipe, in_steps

VIEW = [("PadCrop", 1.0), ("Flip", 0.5)]
SYSU = Recipe(
    **AGW_FAMILY,
    size=(288, 144),
    views={"visible": [VIEW], "infrared": [VIEW]},
    erased=None,
    batch=(8, 4),
    steps=696,
    rates=in_steps(81, lambda epoch: min(epoch + 1, 10) / 10, (20, 50)),
    flip=False,
    galleries=("sysu/agw/all/1shot", "sysu/agw/indoor/1shot"),
    evaluated=2,
)
ERASING = [*VIEW, ("Erasing", 0.5)]
RECIPES = {
    "SYSU": SYSU,
    "RegDB": replace(SYSU, steps=65, galleries=("regdb/v2i", "regdb/i2v")),
    "LLCM": replace(
        SYSU,
        steps=530,
        views={"visible": [ERASING], "infrared": [ERASING]},
        erased=Erased(value=(0, 0, 0), aspect=1.90, area=0.203),
        galleries=("llcm/v2i", "llcm/i2v"),
    ),
}


@pytest.mark.parametrize("dataset", RECIPES)
def test_agw_equals_released_recipe(dataset: str) -> None:
    check_recipe(f"{dataset}/agw.yml", RECIPES[dataset])


@pytest.mark.parametrize("dataset", RECIPES)
def test_agw_equals_released_images_and_scoring(dataset: str, data_root: Path) -> None:
    check_images(f"{dataset}/agw.yml", RECIPES[dataset])
    check_evaluator(f"{dataset}/agw.yml", RECIPES[dataset])
