"""MPANet's released recipe (DoubtedSteam/MPANet): SYSU-MM01 and RegDB; LLCM is ours."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from recipes import (
    OFFICIAL,
    Erased,
    Recipe,
    check_evaluator,
    check_images,
    check_recipe,
    in_steps,
    torchvision_rectangles,
)

VIEW = [("Flip", 0.5), ("PadCrop", 1.0), ("Erasing", 0.5)]
SYSU = Recipe(
    size=(384, 128),
    resize=Image.Resampling.BILINEAR,
    views={"visible": [VIEW], "infrared": [VIEW]},
    erased=None,  # torchvision's own, drawn below
    batch=(16, 4),
    # Groups of four leave two images of thirty, which the made-up identities have; about 185 on the real set.
    steps=173,
    rates=in_steps(140, lambda epoch: 1.0, (80, 120)),
    lr=(3.5e-4, 3.5e-4),
    decay=5e-4,
    # nn.Linear draws evenly from +-1 / sqrt(14,336).
    classifier=(3 * 14336) ** -0.5,
    neck=0.0,
    flip=False,
    method="Adam",
    optimizer={"betas": (0.9, 0.999), "eps": 1e-8},
    half=True,
    padding=(10, 127),
    losses={
        "LabelSmoothCE": {"epsilon": 0.0},
        "CenterCluster": {"margin": 0.7, "tolerance": 0.0, "scale": 1.0},
        "SpecificCE": {"scale": 1.0},
        "MutualTeaching": {"form": "kl", "scale": 2.5},
        "PatternSeparation": {"scale": 0.5},
    },
    galleries=OFFICIAL,
    evaluated=5,
)
RECIPES = {
    "SYSU": SYSU,
    "RegDB": replace(
        SYSU,
        size=(256, 128),
        batch=(12, 5),
        steps=34,
        rates=in_steps(140, lambda epoch: 1.0, (110,)),
        metric="euclidean",
        galleries=("regdb/i2v/distinct_id", "regdb/v2i/distinct_id"),
    ),
}


@pytest.mark.parametrize("dataset", RECIPES)
def test_mpanet_equals_released_recipe(dataset: str) -> None:
    recipe = RECIPES[dataset]
    height, width = torchvision_rectangles(recipe.size)
    area = (height * width).mean() / (recipe.size[0] * recipe.size[1])
    erased = Erased((0, 0, 0), np.median(height / width), area, shares=(0.02, 0.33), logarithm=True)
    check_recipe(f"{dataset}/mpanet.yml", replace(recipe, erased=erased))


@pytest.mark.parametrize("dataset", RECIPES)
def test_mpanet_equals_released_images_and_scoring(dataset: str, data_root: Path) -> None:
    check_images(f"{dataset}/mpanet.yml", RECIPES[dataset])
    check_evaluator(f"{dataset}/mpanet.yml", RECIPES[dataset])
