"""CAJ's released recipe: mangye16/Cross-Modal-Re-ID-baseline, folder ICCV21_CAJ; it has no LLCM, ours is a guess."""

from dataclasses import replace
from pathlib import Path

import pytest
from recipes import AGW_FAMILY, Erased, Recipe, check_evaluator, check_images, check_recipe, in_steps

VIEW = [("PadCrop", 1.0), ("Flip", 0.5), ("Erasing", 0.5)]
SYSU = Recipe(
    **AGW_FAMILY,
    size=(288, 144),
    views={"visible": [VIEW, [*VIEW, ("ChannelExchange", 1.0)]], "infrared": [[*VIEW, ("AdaptiveGray", 1.0)]]},
    erased=Erased(value=(0.4914, 0.4822, 0.4465), aspect=1.90, area=0.203),
    batch=(8, 4),
    steps=696,
    rates=in_steps(100, lambda epoch: min(epoch + 1, 10) / 10, (20, 50)),
    flip=True,
    feature=(0.0, 1.0, True),
    galleries=("sysu/agw/all/1shot", "sysu/agw/indoor/1shot"),
    evaluated=2,
)
RECIPES = {"SYSU": SYSU, "RegDB": replace(SYSU, steps=65, galleries=("regdb/v2i", "regdb/i2v"))}


@pytest.mark.parametrize("dataset", RECIPES)
def test_caj_equals_released_recipe(dataset: str) -> None:
    check_recipe(f"{dataset}/caj.yml", RECIPES[dataset])


@pytest.mark.parametrize("dataset", RECIPES)
def test_caj_equals_released_images_and_scoring(dataset: str, data_root: Path) -> None:
    check_images(f"{dataset}/caj.yml", RECIPES[dataset])
    check_evaluator(f"{dataset}/caj.yml", RECIPES[dataset])
