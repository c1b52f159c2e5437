"""A released recipe as data, and its comparison with the objects built from a shipped config."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cache, lru_cache
from typing import Any

import numpy as np
import pytest
import torch
from fastreid.modeling.meta_arch import build_model
from helpers import views_of
from PIL import Image
from torch import nn
from torchvision.transforms import RandomErasing

from vireid_plugins.config import CfgNode, config_path, get_cfg
from vireid_plugins.data import build_test_loader, build_train_loader
from vireid_plugins.data.loaders import build_sampler
from vireid_plugins.data.transforms import Erasing, PadCrop, View, build_view
from vireid_plugins.engine.hooks.lr_schedule import build_lr_scheduler
from vireid_plugins.engine.optimizer import build_optimizer
from vireid_plugins.engine.trainer import Trainer
from vireid_plugins.methods.deen.modules import DEE
from vireid_plugins.modeling.heads import TestFeature

# Visible and infrared training images, and identities.
COUNTS = {"SYSU": (22258, 11909, 395), "RegDB": (2060, 2060, 206), "LLCM": (16946, 13975, 713)}
DRAWS = 20_000
# What a script with the official galleries of SYSU-MM01 scores.
OFFICIAL = tuple(f"sysu/official/{mode}/{shots}shot" for mode in ("all", "indoor") for shots in (1, 10))


@dataclass(frozen=True)
class Erased:
    """The erased rectangle as the released code draws it, over many draws.

    Attributes:
        value: of the three channels in the normalized image.
        aspect: median height / width.
        area: mean share of the image.
        shares: the smallest and largest share that is drawn for it, before what does not fit is drawn again.
        logarithm: whether height / width is drawn evenly in the logarithm.
        normalized: whether it is erased in the normalized image; else the value is that in 0 .. 1.
    """

    value: tuple[float, float, float]
    aspect: float
    area: float
    shares: tuple[float, float] = (0.02, 0.4)
    logarithm: bool = False
    normalized: bool = True


@dataclass(frozen=True)
class Recipe:
    """What the released code of a method does on one data set.

    Attributes:
        size: height and width.
        resize: Pillow's filter.
        views: for each modality its views, each a list of (transform, probability).
        erased: the rectangle of the views that erase; None where none does.
        batch: P and K.
        steps: of an epoch on the real data set.
        rates: factor of the learning rate in each epoch.
        lr: rate of the heads and of the rest at factor 1.
        decay: of every parameter.
        classifier: spread of the classifier's initial weights.
        neck: spread of the BNNeck's initial weights around 1.
        flip: whether the mirror image's feature is added.
        feature: weights of the cosines of pooled and BNNeck feature, and whether one alone is normalized.
        metric: what ranks the gallery.
        galleries: protocols in the order of the paper's table, at the head of the list.
        evaluated: every so many epochs.
        optimizer: options of every parameter group.
        method: the optimizer's class.
        half: whether training computes in float16.
        padding: pixels on each side before the crop, and their value.
        losses: by the class of a loss, numbers of it.
        dropout: probability of every dropout; None where the network has none.
    """

    size: tuple[int, int]
    resize: Image.Resampling
    views: dict[str, list[list[tuple[str, float]]]]
    erased: Erased | None
    batch: tuple[int, int]
    steps: int
    rates: list[float]
    lr: tuple[float, float]
    decay: float
    classifier: float
    neck: float
    flip: bool
    galleries: Sequence[str]
    evaluated: int
    feature: tuple[float, float, bool] = (0.0, 1.0, False)
    metric: str = "cosine"
    optimizer: dict[str, Any] = field(default_factory=dict)
    method: str = "SGD"
    half: bool = False
    padding: tuple[int, int] = (10, 0)
    losses: dict[str, dict[str, float]] = field(default_factory=dict)
    dropout: float | None = None


# What the code of AGW and of those that grew from it (CAJ, DEEN, MSCMNet) shares.
AGW_FAMILY: dict[str, Any] = {
    "resize": Image.Resampling.LANCZOS,
    "lr": (0.1, 0.01),
    "decay": 5e-4,
    "classifier": 0.001,
    "neck": 0.01,
    "optimizer": {"momentum": 0.9, "nesterov": True},
}


def in_steps(epochs: int, warm: Callable[[int], float], drops: Sequence[int]) -> list[float]:
    """Factors of a schedule: `warm(epoch)`, and a tenth more off from each epoch in `drops` on."""
    return [warm(epoch) * 0.1 ** sum(epoch >= drop for drop in drops) for epoch in range(epochs)]


@cache
def config(name: str) -> CfgNode:
    cfg = get_cfg()
    cfg.merge_from_file(config_path(name))
    cfg.merge_from_list(
        ["MODEL.BACKBONE.PRETRAIN", "False", "MODEL.DEVICE", "cpu", "DATALOADER.NUM_WORKERS", "0", "OUTPUT_DIR", ""]
    )
    return cfg


@lru_cache(maxsize=1)
def network(name: str) -> nn.Module:
    """The network of a shipped config at its own size, with its initial weights but for convolutions'.

    Those are most of its weights, and most of the time that drawing takes. One network is kept: ten are gigabytes.
    """
    cfg = config(name).clone()
    cfg.MODEL.HEADS.NUM_CLASSES = COUNTS[name.split("/")[0]][2]
    torch.manual_seed(0)
    normal = nn.init.normal_
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(nn.Conv2d, "reset_parameters", lambda self: None)
        patched.setattr(nn.init, "normal_", lambda w, *a, **k: w if w.ndim == 4 else normal(w, *a, **k))
        model: nn.Module = build_model(cfg)
    return model


def check_recipe(name: str, recipe: Recipe) -> None:
    """Compare everything that needs no image."""
    cfg = config(name)
    check_views(cfg, recipe)
    check_epoch(cfg, recipe, name.split("/")[0])
    check_optimizer(cfg, network(name), recipe)
    check_initial_heads(network(name), recipe)
    check_scoring(cfg, recipe)
    check_losses(network(name), recipe)
    assert dropouts(network(name)) == ({recipe.dropout} - {None})
    assert recipe.half == cfg.SOLVER.AMP.ENABLED


def dropouts(model: nn.Module) -> set[float]:
    modules = list(model.modules())
    found = {m.p for m in modules if isinstance(m, nn.modules.dropout._DropoutNd)}
    return found | {m.dropout for m in modules if isinstance(m, DEE)}


def check_losses(model: nn.Module, recipe: Recipe) -> None:
    losses: Any = model.losses
    found = {type(loss).__name__: loss for loss in losses}
    for name, numbers in recipe.losses.items():
        assert {key: getattr(found[name], key) for key in numbers} == numbers, name


def check_images(name: str, recipe: Recipe) -> None:
    """Compare the pixels that loaders give with Pillow's; the data root has a tree of the data set."""
    cfg = config(name).clone()
    # The tree has few identities.
    cfg.SOLVER.IMS_PER_BATCH = 4 * cfg.DATALOADER.NUM_INSTANCE
    expected = (recipe.size[1], recipe.size[0])
    train, test = build_train_loader(cfg).images, build_test_loader(cfg, cfg.DATASETS.TESTS[0])[0].dataset
    for images in (train, test):
        for number in (0, len(images.items) - 1):
            with Image.open(images.items[number][0]) as file:
                resized = np.asarray(file.convert("RGB").resize(expected, recipe.resize))
            np.testing.assert_array_equal(images.pixels[number], resized)


def built_views(cfg: CfgNode) -> dict[str, list[View]]:
    names = {"visible": cfg.INPUT.VIEWS.VISIBLE, "infrared": cfg.INPUT.VIEWS.INFRARED}
    return {modality: [build_view(cfg, one) for one in views] for modality, views in names.items()}


def check_views(cfg: CfgNode, recipe: Recipe) -> None:
    views = built_views(cfg)
    found = {m: [[(type(step).__name__, p) for step, p in view.steps] for view in some] for m, some in views.items()}
    assert found == recipe.views
    for view in (view for some in views.values() for view in some):
        for number, (step, _) in enumerate(view.steps):
            if isinstance(step, PadCrop):
                assert (step.size, step.value) == recipe.padding
            if is_erasing(step):
                assert recipe.erased is not None
                # It and everything after it work on the normalized image, or nothing does.
                assert view.late == (len(view.steps) - number if recipe.erased.normalized else 0)
                check_erasing(step, recipe.size, recipe.erased)
    assert tuple(cfg.INPUT.SIZE_TRAIN) == tuple(cfg.INPUT.SIZE_TEST) == recipe.size


DRAWN: dict[tuple[Any, ...], tuple[Any, Any]] = {}


def is_erasing(step: Any) -> bool:
    return isinstance(step, Erasing)


def check_erasing(step: Erasing, size: tuple[int, int], erased: Erased) -> None:
    height, width = rectangles(step, size)
    # A median of 20,000 draws of this spread is off by about 0.01, a mean share by 0.0008; both times four.
    assert abs(np.median(height / width) - erased.aspect) < 0.04
    assert abs((height * width).mean() / (size[0] * size[1]) - erased.area) < 0.0035
    # Of a share, the quantiles that a mean and a median leave open; three decimals of 20,000 draws are sure.
    ours, theirs = (
        a * b / (size[0] * size[1]) for a, b in ((height, width), drawn_in_print(size, erased.shares, erased.logarithm))
    )
    quantiles = (0.05, 0.25, 0.75, 0.95)
    np.testing.assert_allclose(np.quantile(ours, quantiles), np.quantile(theirs, quantiles), atol=0.012)
    normalized = np.ones((*size, 3), np.float32)
    image = step(normalized, np.random.default_rng(0))
    np.testing.assert_allclose(image[(image != 1).all(2)][0], erased.value, atol=1e-6)


@cache
def drawn_in_print(size: tuple[int, int], shares: tuple[float, float], logarithm: bool) -> tuple[Any, Any]:
    """Heights and widths of erased rectangles by the algorithm in print (Zhong et al., 2020), one draw at a time."""
    rng = np.random.default_rng(1)
    drawn: list[tuple[int, int]] = []
    while len(drawn) < DRAWS:
        area, aspect = rng.uniform(*shares) * size[0] * size[1], rng.uniform(0.3, 1 / 0.3)
        if logarithm:
            aspect = np.exp(rng.uniform(np.log(0.3), np.log(3.3)))
        height, width = round((area * aspect) ** 0.5), round((area / aspect) ** 0.5)
        if height < size[0] and width < size[1]:
            drawn.append((height, width))
    heights, widths = np.array(drawn).T
    return heights, widths


def rectangles(step: Erasing, size: tuple[int, int]) -> tuple[Any, Any]:
    """Heights and widths of many draws, once for all steps that draw alike."""
    one = step.rectangles
    key = (size, tuple(one.area), one.aspect, one.logarithm, step.attempts)
    if key not in DRAWN:
        rng = np.random.default_rng(0)
        drawn = (step.rectangle(*size, rng) for _ in range(DRAWS))
        sides = np.array([rectangle for rectangle in drawn if rectangle])[:, 2:]
        DRAWN[key] = (sides[:, 0], sides[:, 1])
    return DRAWN[key]


@cache
def torchvision_rectangles(size: tuple[int, int]) -> tuple[Any, Any]:
    """Heights and widths that torchvision's transform draws at its defaults, which the released code takes."""
    image = torch.zeros(3, *size)
    theirs = RandomErasing()
    drawn = [theirs.get_params(image, theirs.scale, theirs.ratio, [0.0])[2:4] for _ in range(DRAWS)]
    # Where nothing fits, torchvision gives the whole image back.
    sides = np.array([side for side in drawn if side != size])
    return sides[:, 0], sides[:, 1]


def check_epoch(cfg: CfgNode, recipe: Recipe, dataset: str) -> None:
    sampler = build_sampler(cfg, *real_images(dataset))
    assert recipe.batch == (sampler.P, sampler.K)
    assert sampler.steps == recipe.steps
    assert views_of(cfg) == (len(recipe.views["visible"]), len(recipe.views["infrared"]))


def real_images(dataset: str) -> tuple[list[int], list[int]]:
    """Identities and modalities of as many images as the data set has.

    Who has how many is made up: infrared images in tens, as many as fit, so that the balanced sampler's groups of five
    lose next to nothing.
    """
    visible, infrared, identities = COUNTS[dataset]
    targets, modalities = [], []
    for modality, total in ((0, visible), (1, infrared)):
        each = total // identities // 10 * 10 or total // identities
        counts = [each] * identities
        for number in range((total - each * identities) // 10):
            counts[number % identities] += 10
        counts[-1] += total - sum(counts)
        targets += [identity for identity, count in enumerate(counts) for _ in range(count)]
        modalities += [modality] * total
    return targets, modalities


def check_optimizer(cfg: CfgNode, model: nn.Module, recipe: Recipe) -> None:
    optimizer = build_optimizer(cfg, model)
    assert type(optimizer).__name__ == recipe.method
    groups = {id(p): group for group in optimizer.param_groups for p in group["params"]}
    for name, parameter in model.named_parameters():
        if parameter.requires_grad:
            group = groups.pop(id(parameter))
            assert group["weight_decay"] == recipe.decay, name
            heads, rest = recipe.lr
            assert group["lr"] == (heads if name.startswith("heads.") else rest), name
            assert {key: group[key] for key in recipe.optimizer} == recipe.optimizer
    assert not groups
    schedule = build_lr_scheduler(cfg, optimizer, 2)["lr_sched"]
    rates = []
    for _ in range(cfg.SOLVER.MAX_EPOCH):
        rates.append(schedule.get_last_lr())
        for _ in range(2):
            # Nothing has a gradient: the step changes nothing, and torch wants one before the schedule's.
            optimizer.step()
            schedule.step()
    assert len(rates) == len(recipe.rates)
    first = [group["initial_lr"] for group in optimizer.param_groups]
    np.testing.assert_allclose(rates, np.outer(recipe.rates, first), rtol=1e-9)


def check_initial_heads(model: nn.Module, recipe: Recipe) -> None:
    heads: Any = model.heads
    for name, head in heads.items():
        if not hasattr(head, "bottleneck"):
            # As torch starts them: evenly from +-1 / sqrt(inputs).
            for linear in (module for module in head.modules() if isinstance(module, nn.Linear)):
                spread = linear.weight.std().item() * (3 * linear.in_features) ** 0.5
                # Of a layer with 200 weights a spread is off by 0.03.
                assert abs(spread - 1) < 0.1, name
            continue
        weight = head.weight.detach()
        assert abs(weight.std().item() / recipe.classifier - 1) < 0.01, name
        assert abs(weight.mean().item()) < 0.01 * recipe.classifier, name
        norm = head.bottleneck[-1]
        assert not norm.bias.requires_grad
        assert not norm.bias.any()
        assert abs(norm.weight.mean().item() - 1) <= recipe.neck / 10
        assert abs(norm.weight.std().item() - recipe.neck) <= recipe.neck / 10


def check_scoring(cfg: CfgNode, recipe: Recipe) -> None:
    feature = TestFeature.from_config(cfg)
    assert (feature.pooled, feature.neck, feature.normalize) == recipe.feature
    assert recipe.evaluated == cfg.TEST.EVAL_PERIOD


def check_evaluator(name: str, recipe: Recipe) -> None:
    """Compare what scores; the data root has a tree of the data set."""
    cfg = config(name)
    _, evaluator = Trainer.build_evaluator(cfg, cfg.DATASETS.TESTS[0])
    names = [protocol.name for protocol in evaluator.plan.protocols]
    assert names[: len(recipe.galleries)] == list(recipe.galleries)
    assert len(set(names)) == len(names)
    assert evaluator.metric == recipe.metric
    assert evaluator.flip == recipe.flip
    assert not evaluator.postprocessing
