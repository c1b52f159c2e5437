"""IDKL's released recipe (1KK077/IDKL), and the paper's where it states one."""

from dataclasses import replace
from math import sqrt
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
BLACK = (0, 0, 0)
RELEASED = Recipe(
    size=(384, 144),
    resize=Image.Resampling.BILINEAR,
    views={"visible": [VIEW], "infrared": [VIEW]},
    erased=None,  # torchvision's own, drawn below
    batch=(12, 5),
    steps=198,
    rates=in_steps(160, lambda epoch: 1.0, (55, 95)),
    lr=(3.5e-4, 3.5e-4),
    decay=5e-3,
    # nn.Linear draws evenly from +-1 / sqrt(2048).
    classifier=1 / sqrt(3 * 2048),
    neck=0.0,
    flip=False,
    method="Adam",
    optimizer={"betas": (0.9, 0.999), "eps": 1e-8},
    half=True,
    padding=(10, 127),
    losses={
        "HardTriplet": {"margin": 1.3},
        "Purification": {"scale": 0.1},
        "TGSA": {"scale": 0.6},
        "CSA": {"scale": 0.8},
        "MDR": {"scale": 1.0, "graph": True},
    },
    galleries=OFFICIAL,
    evaluated=10,
    dropout=0.5,
)
PAPER = replace(
    RELEASED,
    size=(384, 128),
    rates=in_steps(160, lambda epoch: 1.0, (60, 100)),
    lr=(3e-5, 3e-5),
    decay=5e-4,
    half=False,
    losses={**RELEASED.losses, "HardTriplet": {"margin": 0.3}},
)
REGDB = ("regdb/i2v/distinct_id", "regdb/v2i/distinct_id")
RECIPES = {
    "SYSU/idkl_released": RELEASED,
    "RegDB/idkl_released": replace(
        RELEASED,
        size=(256, 128),
        batch=(6, 5),
        steps=68,
        metric="euclidean",
        galleries=REGDB,
        evaluated=5,
        losses={"HardTriplet": {"margin": 1.3}, "CSA": {"scale": 0.3}, "MDR": {"scale": 1.0, "graph": False}},
    ),
    "LLCM/idkl_released": replace(
        RELEASED, steps=232, metric="euclidean", galleries=("llcm/full/i2v", "llcm/full/v2i")
    ),
    "SYSU/idkl": PAPER,
    # The paper's size and batch are for every set.
    "RegDB/idkl": replace(PAPER, steps=34, galleries=REGDB),
    "LLCM/idkl": replace(PAPER, steps=232, galleries=("llcm/v2i", "llcm/i2v")),
}


@pytest.mark.parametrize("name", RECIPES)
def test_idkl_equals_released_recipe(name: str) -> None:
    recipe = RECIPES[name]
    height, width = torchvision_rectangles(recipe.size)
    area = (height * width).mean() / (recipe.size[0] * recipe.size[1])
    erased = Erased(BLACK, np.median(height / width), area, shares=(0.02, 0.33), logarithm=True)
    check_recipe(f"{name}.yml", replace(recipe, erased=erased))


@pytest.mark.parametrize("name", RECIPES)
def test_idkl_equals_released_images_and_scoring(name: str, data_root: Path) -> None:
    check_images(f"{name}.yml", RECIPES[name])
    check_evaluator(f"{name}.yml", RECIPES[name])
