"""SAAI's released recipe (xiaoye-hhh/SAAI): SYSU-MM01 and RegDB; LLCM is ours."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from recipes import (
    OFFICIAL,
    Recipe,
    built_views,
    check_epoch,
    check_evaluator,
    check_images,
    check_losses,
    check_optimizer,
    check_scoring,
    config,
    in_steps,
    is_erasing,
    network,
    rectangles,
    torchvision_rectangles,
)

from vireid_plugins.data.transforms import PadCrop

VIEW = [("Flip", 0.5), ("PadCrop", 1.0), ("ChannelExchange", 0.2727), ("Erasing", 0.5)]
SYSU = Recipe(
    size=(288, 144),
    resize=Image.Resampling.BILINEAR,
    views={"visible": [VIEW], "infrared": [VIEW]},
    erased=None,
    batch=(10, 4),
    # Groups of four leave two images of thirty, which the made-up identities have; about 297 on the real set.
    steps=278,
    rates=in_steps(160, lambda epoch: min(1.0, 0.1 * (epoch + 1)), (80, 120)),
    lr=(3.5e-4, 3.5e-4),
    decay=5e-4,
    # nn.Linear draws evenly from +-1 / sqrt(16,384).
    classifier=(3 * 16384) ** -0.5,
    neck=0.0,
    flip=False,
    method="Adam",
    optimizer={"betas": (0.9, 0.999), "eps": 1e-8},
    half=True,
    losses={
        "LabelSmoothCE": {"epsilon": 0.0},
        "CenterCluster": {"margin": 0.7, "tolerance": 0.01, "scale": 1.0},
        "SpecificCE": {"scale": 1.0},
        "MutualTeaching": {"form": "soft_ce", "scale": 1.0},
        "PartDiversity": {"form": "l2", "scale": 0.25},
    },
    galleries=OFFICIAL,
    evaluated=5,
)
RECIPES = {
    "SYSU": SYSU,
    "RegDB": replace(SYSU, batch=(4, 4), steps=103, galleries=("regdb/i2v/distinct_id", "regdb/v2i/distinct_id")),
}


@pytest.mark.parametrize("dataset", RECIPES)
def test_saai_equals_released_recipe(dataset: str) -> None:
    recipe, name = RECIPES[dataset], f"{dataset}/saai.yml"
    cfg, model = config(name), network(name)
    check_epoch(cfg, recipe, dataset)
    check_optimizer(cfg, model, recipe)
    check_scoring(cfg, recipe)
    check_losses(model, recipe)
    assert cfg.SOLVER.AMP.ENABLED
    for weight in (model.heads["global"].weight, model.heads["visible"].weight, model.heads["infrared"].weight):
        assert abs(weight.std().item() / recipe.classifier - 1) < 0.01
    # Kaiming normal, fan-in 2048.
    for weight in (model.masks.prototypes, model.masks.positions):
        assert abs(weight.std().item() / (2 / 2048) ** 0.5 - 1) < 0.03
    assert cfg.MODEL.ATTENTION.STAGE3 == cfg.MODEL.ATTENTION.STAGE4 == (["MAM"] if dataset == "SYSU" else [])


def test_saai_equals_released_views() -> None:
    views = built_views(config("SYSU/saai.yml"))
    found = {m: [[(type(step).__name__, p) for step, p in view.steps] for view in some] for m, some in views.items()}
    assert found == SYSU.views
    for (view,) in views.values():
        crop, erasing = view.steps[1][0], view.steps[3][0]
        assert isinstance(crop, PadCrop)
        assert (crop.size, crop.mode) == (10, "symmetric")
        # Channels are copied before the normalization, and the noise comes after it.
        assert view.late == 1
        assert is_erasing(erasing)
        assert erasing.needs_normalized
        height, width = rectangles(erasing, SYSU.size)
        theirs = torchvision_rectangles(SYSU.size)
        assert abs(np.median(height / width) - np.median(theirs[0] / theirs[1])) < 0.04


@pytest.mark.parametrize("dataset", RECIPES)
def test_saai_equals_released_images_and_scoring(dataset: str, data_root: Path) -> None:
    check_images(f"{dataset}/saai.yml", RECIPES[dataset])
    check_evaluator(f"{dataset}/saai.yml", RECIPES[dataset])
