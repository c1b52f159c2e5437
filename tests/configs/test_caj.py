"""CAJ's released recipe: mangye16/Cross-Modal-Re-ID-baseline, folder ICCV21_CAJ; it has no LLCM, ours is a guess."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from recipes import (
    AGW_FAMILY,
    DRAWS,
    Erased,
    Recipe,
    built_views,
    check_evaluator,
    check_images,
    check_recipe,
    config,
    in_steps,
)

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


def test_caj_equals_released_shares_of_adaptive_gray() -> None:
    """One of four is drawn: a channel for all three, or (in half of the cases) gray."""
    step = built_views(config("SYSU/caj.yml"))["infrared"][0].steps[-1][0]
    rng, image = np.random.default_rng(0), np.array([[[0.2, 0.5, 0.8]]], np.float32)
    drawn = np.array([step(image, rng)[0, 0] for _ in range(DRAWS)])
    gray = 0.2989 * 0.2 + 0.5870 * 0.5 + 0.1140 * 0.8
    cases = {"red": [0.2] * 3, "green": [0.5] * 3, "blue": [0.8] * 3, "gray": [gray] * 3, "as it was": image[0, 0]}
    shares = {name: np.isclose(drawn, case, atol=1e-6).all(1).mean() for name, case in cases.items()}
    # A share of 20,000 draws is off by 0.003.
    assert shares == pytest.approx(
        {"red": 0.25, "green": 0.25, "blue": 0.25, "gray": 0.125, "as it was": 0.125}, abs=0.012
    )
