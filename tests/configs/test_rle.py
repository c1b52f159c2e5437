"""RLE's released recipe: stone96123/RLE, SYSU-MM01 and RegDB; LLCM's is ours but for gray and the weights at test."""

from dataclasses import replace
from pathlib import Path

import pytest
from PIL import Image
from recipes import AGW_FAMILY, Erased, Recipe, check_evaluator, check_images, check_recipe, config, in_steps

VIEW = [("PadCrop", 1.0), ("Flip", 0.5), ("MRLE", 0.5), ("RRLE", 0.5), ("Erasing", 0.5)]
GRAY = [("Gray", 0.5), *VIEW]
SYSU = Recipe(
    **AGW_FAMILY,
    size=(384, 192),
    views={"visible": [VIEW], "infrared": [VIEW]},
    # Erased after RRLE, on the image in 0 .. 1.
    erased=Erased(value=(0.4914, 0.4822, 0.4465), aspect=1.90, area=0.203, normalized=False),
    batch=(6, 4),
    steps=928,
    rates=in_steps(151, lambda epoch: min(epoch + 1, 10) / 10, (20, 80, 120)),
    flip=True,
    feature=(0.8, 0.2, False),
    metric="inner_product",
    galleries=("sysu/agw/all/1shot", "sysu/agw/indoor/1shot"),
    evaluated=2,
    losses={"LabelSmoothCE": {"epsilon": 0.0}, "HardTriplet": {"margin": 0.3}},
)
OTHERS = replace(SYSU, views={"visible": [GRAY], "infrared": [GRAY]}, feature=(0.9, 0.1, False))
RECIPES = {
    "SYSU": SYSU,
    "RegDB": replace(OTHERS, steps=86, galleries=("regdb/v2i", "regdb/i2v")),
    "LLCM": replace(OTHERS, steps=707, galleries=("llcm/v2i", "llcm/i2v")),
}


@pytest.mark.parametrize("dataset", RECIPES)
def test_rle_equals_released_recipe(dataset: str) -> None:
    assert RECIPES[dataset].resize == Image.Resampling.LANCZOS
    check_recipe(f"{dataset}/rle.yml", RECIPES[dataset])


@pytest.mark.parametrize("dataset", RECIPES)
def test_rle_equals_released_images_and_scoring(dataset: str, data_root: Path) -> None:
    check_images(f"{dataset}/rle.yml", RECIPES[dataset])
    check_evaluator(f"{dataset}/rle.yml", RECIPES[dataset])


@pytest.mark.parametrize("dataset", RECIPES)
def test_rle_equals_released_linear_transforms(dataset: str) -> None:
    linear = config(f"{dataset}/rle.yml").INPUT
    assert (linear.MRLE.BETA, linear.RRLE.BETA, linear.RRLE.T_MIN) == (0.3, 0.4, 0.1)
    assert list(linear.RRLE.AREA) == [0.02, 0.4]
