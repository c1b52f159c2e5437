"""MSCMNet's released recipe: Hua-XC/MSCMNet, all three data sets."""

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
    is_erasing,
    rectangles,
)

PLAIN = [("PadCrop", 1.0), ("Flip", 0.5), ("Erasing", 0.5)]
SYSU = Recipe(
    **AGW_FAMILY,
    size=(384, 192),
    views={
        "visible": [[("Gray", 0.5), *PLAIN], [*PLAIN, ("ChannelExchange", 1.0)]],
        "infrared": [
            [*PLAIN, ("SecondChannelOrGray", 1.0)],
            [("Brightness", 1.0), *PLAIN, ("ChannelScale", 0.5)],
        ],
    },
    erased=Erased(value=(0.4914, 0.4822, 0.4465), aspect=1.90, area=0.203),
    batch=(6, 4),
    steps=928,
    rates=in_steps(150, lambda epoch: min(1.0, 0.1 + 0.09 * epoch), (25, 90, 120)),
    flip=False,
    half=True,
    losses={"QCT": {"margin": 0.7, "scale": 1.0}, "LabelSmoothCE": {"epsilon": 0.0}},
    galleries=("sysu/agw/all/1shot", "sysu/agw/indoor/1shot"),
    evaluated=1,
)
RECIPES = {
    "SYSU": SYSU,
    "RegDB": replace(SYSU, steps=86, galleries=("regdb/v2i", "regdb/i2v")),
    "LLCM": replace(SYSU, steps=707, feature=(1.0, 1.0, False), galleries=("llcm/v2i", "llcm/i2v")),
}


@pytest.mark.parametrize("form", ["mscm", "mscm_released"])
@pytest.mark.parametrize("dataset", RECIPES)
def test_mscm_equals_released_recipe(dataset: str, form: str) -> None:
    check_recipe(f"{dataset}/{form}.yml", RECIPES[dataset])


@pytest.mark.parametrize("dataset", RECIPES)
def test_mscm_equals_released_images_and_scoring(dataset: str, data_root: Path) -> None:
    check_images(f"{dataset}/mscm_released.yml", RECIPES[dataset])
    check_evaluator(f"{dataset}/mscm_released.yml", RECIPES[dataset])


def test_mscm_equals_released_rectangles() -> None:
    """81.6 % taller than wide, 157 x 92 on average, over the released code's draws."""
    view = built_views(config("SYSU/mscm_released.yml"))["visible"][0]
    (step,) = [step for step, _ in view.steps if is_erasing(step)]
    height, width = rectangles(step, SYSU.size)
    assert abs((height > width).mean() - 0.816) < 0.012
    assert abs(height.mean() - 157) < 2
    assert abs(width.mean() - 92) < 2


def test_mscm_equals_released_brightness() -> None:
    """Always drawn, from U(0.5, 1.5): 0.5 is the range and not a probability."""
    view = built_views(config("SYSU/mscm_released.yml"))["infrared"][1]
    jitter, probability = view.steps[0]
    assert probability == 1
    gray = np.full((1, 1, 3), 100, np.uint8)
    rng = np.random.default_rng(0)
    values = np.array([int(jitter(gray, rng)[0, 0, 0]) for _ in range(4000)])
    assert values.min() in range(50, 52)
    assert values.max() in range(149, 151)
    # Evenly drawn: the quarters of the range are met alike often.
    np.testing.assert_allclose(np.histogram(values, (50, 75, 100, 125, 150.5))[0] / len(values), 0.25, atol=0.03)


def test_mscm_equals_released_channel_scale() -> None:
    """Each channel times twice a number between 0.01 and 0.5, drawn evenly."""
    step = built_views(config("SYSU/mscm_released.yml"))["infrared"][1].steps[-1][0]
    rng = np.random.default_rng(0)
    drawn = np.array([step(np.ones((1, 1, 3), np.float32), rng)[0, 0] for _ in range(DRAWS)])
    quantiles = np.quantile(drawn, (0, 0.25, 0.5, 0.75, 1), axis=0)
    expected = 0.02 + 0.98 * np.array([0, 0.25, 0.5, 0.75, 1])
    # A quantile of 20,000 draws is off by 0.0035.
    np.testing.assert_allclose(quantiles, expected[:, None].repeat(3, 1), atol=0.014)
    assert abs(np.corrcoef(drawn.T)[0, 1:]).max() < 0.03
