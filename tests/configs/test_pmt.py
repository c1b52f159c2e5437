"""PMT's released recipe: hulu88/PMT, SYSU-MM01 and RegDB; LLCM's is ours. Its rates are in the trajectory's test."""

from dataclasses import replace
from pathlib import Path

import pytest
from PIL import Image
from recipes import (
    Erased,
    Recipe,
    check_epoch,
    check_evaluator,
    check_images,
    check_initial_heads,
    check_losses,
    check_scoring,
    check_views,
    config,
    dropouts,
    network,
)

from vireid_plugins.data.transforms import BrightnessContrast, GaussianBlur, build_view

VISIBLE = [("Flip", 0.5), ("Erasing", 0.5)]
INFRARED = [("Flip", 0.5), ("OneOf", 1.0), ("Erasing", 0.5)]
SYSU = Recipe(
    resize=Image.Resampling.LANCZOS,
    lr=(3e-4, 1.5e-4),
    decay=1e-4,
    classifier=0.001,
    neck=0.0,
    size=(256, 128),
    views={"visible": [VISIBLE], "infrared": [INFRARED]},
    erased=Erased(value=(0.485, 0.456, 0.406), aspect=1.91, area=0.203),
    batch=(8, 4),
    steps=696,
    rates=[],
    flip=False,
    losses={
        "LabelSmoothCE": {"epsilon": 0.0, "scale": 2.0},
        "ModalityTriplet": {"margin": 0.1, "scale": 1.0},
        "HardTriplet": {"margin": 0.1, "scale": 1.0},
        "MSEL": {"scale": 0.5},
        "DCL": {"scale": 0.5},
    },
    galleries=("sysu/agw/all/1shot", "sysu/agw/indoor/1shot"),
    evaluated=2,
    half=True,
)
RECIPES = {
    "SYSU": SYSU,
    "RegDB": replace(SYSU, steps=65, galleries=("regdb/v2i", "regdb/i2v")),
    "LLCM": replace(SYSU, steps=530, galleries=("llcm/v2i", "llcm/i2v")),
}


@pytest.mark.parametrize("dataset", RECIPES)
def test_pmt_equals_released_batches_and_scoring(dataset: str, data_root: Path) -> None:
    name, recipe = f"{dataset}/pmt.yml", RECIPES[dataset]
    cfg = config(name)
    check_epoch(cfg, recipe, dataset)
    check_scoring(cfg, recipe)
    check_images(name, recipe)
    check_evaluator(name, recipe)
    assert recipe.half == cfg.SOLVER.AMP.ENABLED
    assert (36 if dataset == "RegDB" else 24) == cfg.SOLVER.MAX_EPOCH


def test_pmt_equals_released_views_of_both_phases() -> None:
    cfg = config("SYSU/pmt.yml")
    check_views(cfg, SYSU)
    assert cfg.INPUT.FIRST_EPOCHS == 6
    (names,) = cfg.INPUT.FIRST_VIEWS.VISIBLE
    first = build_view(cfg, names)
    found = [(type(step).__name__, probability) for step, probability in first.steps]
    assert found == [("Flip", 0.5), ("Luma", 1.0), ("Erasing", 0.5)]
    assert first.late == 1
    assert not cfg.INPUT.FIRST_VIEWS.INFRARED
    (names,) = cfg.INPUT.VIEWS.INFRARED
    jitter, blur = build_view(cfg, names).steps[1][0].choices  # type: ignore[attr-defined]
    assert isinstance(jitter, BrightnessContrast)
    assert isinstance(blur, GaussianBlur)
    assert (jitter.jitter, blur.size, blur.sigma) == (0.3, 21, (0.1, 3.0))


def test_pmt_equals_released_heads_and_losses() -> None:
    model = network("SYSU/pmt.yml")
    check_initial_heads(model, SYSU)
    check_losses(model, SYSU)
    # None on the attention.
    assert dropouts(model) == {0.03, 0.0}
    assert {module.eps for module in model.modules() if type(module).__name__ == "LayerNorm"} == {1e-5}
