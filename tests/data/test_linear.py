"""MRLE, RRLE and erasing as the public code of RLE computes and draws them (tests/fixtures/rle_salt5.npz)."""

from typing import Any

import numpy as np
import pytest
import torch
from helpers import small_cfg
from released import FIXTURES

from vireid_plugins.data.transforms import MRLE, RRLE, Erasing, build_view
from vireid_plugins.data.transforms.canvas import Canvas
from vireid_plugins.data.transforms.linear import beta_batch, lift, mixed, mixing_factors
from vireid_plugins.errors import ConfigError

Arrays = dict[str, np.ndarray]
EXACT: dict[str, Any] = {"rtol": 1e-12, "atol": 1e-12}
# Number and kind of the image of each case.
CASES = {
    "one": (10, ""),
    "three": (11, ""),
    "misfit": (12, ""),
    "gray": (13, "gray"),
    "dark": (14, "dark"),
    "tmin0.01": (15, ""),
    "black_edge": (16, "black"),
    "black_nan": (17, "black"),
}


@pytest.fixture(scope="module")
def stored() -> Arrays:
    with np.load(FIXTURES / "rle_salt5.npz") as file:
        wanted = ("mrle/", "rrle/", "re/", "p/", "quantiles", "seeds")
        return {key: value for key, value in file.items() if key.startswith(wanted)}


def picture(stored: Arrays, number: int, kind: str = "") -> np.ndarray:
    """An image (48, 24, 3) in [0, 1]."""
    x = np.random.RandomState(int(stored.get("seeds", 0)) + 2000 + number).random_sample((3, 48, 24))
    if kind == "gray":
        x = np.repeat(x[:1], 3, axis=0)
    if kind == "dark":
        x = 0.3 * x
    if kind == "black":
        x[:, :, :12] = 0
        x[:, :8] = 0
    return x.transpose(1, 2, 0).copy()


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def rrle(beta: float = 0.4, t_min: float = 0.1) -> RRLE:
    return RRLE(beta, t_min, (0.02, 0.4), (0.3, 1 / 0.3))


def batch_of(image: np.ndarray, count: int) -> torch.Tensor:
    return torch.from_numpy(np.array(image)).permute(2, 0, 1)[None].repeat(count, 1, 1, 1)


def test_mixed_equals_released_mrle(stored: Arrays) -> None:
    for number, (factors, out) in enumerate(zip(stored["mrle/factors"], stored["mrle/out"], strict=True)):
        np.testing.assert_allclose(mixed(picture(stored, number), factors), out, **EXACT)


@pytest.mark.parametrize("case", CASES)
def test_lift_equals_released_rrle(stored: Arrays, case: str) -> None:
    image = picture(stored, *CASES[case])
    memory = np.ones_like(image)
    for *rectangle, r, g, b in stored[f"rrle/{case}/rects"]:
        top, left, h, w = (int(side) for side in rectangle)
        lift(image, memory, (top, left, h, w), (r, g, b))
    out = stored[f"rrle/{case}/out"].transpose(1, 2, 0)
    # NaN, where the released code has divided by 0, is the one thing that is not copied.
    finite = np.isfinite(out)
    assert np.isfinite(image).all()
    np.testing.assert_allclose(image[finite], out[finite], **EXACT)
    if case == "black_nan":
        assert finite.mean() < 0.5
        assert (image[picture(stored, *CASES[case]) == 0] == 0).all()
    else:
        assert finite.all()
        np.testing.assert_allclose(memory.min(), stored[f"rrle/{case}/mask_min"], **EXACT)


@pytest.mark.parametrize("number", [0, 1])
def test_erasing_equals_released_erasing(stored: Arrays, monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    color = np.array([0.4914, 0.4822, 0.4465])
    erasing = Erasing((255 * color).tolist(), aspect=(0.3, 1 / 0.3), aspect_draw="even")
    monkeypatch.setattr(erasing, "rectangle", lambda *_: tuple(stored[f"re/rect{number}"].tolist()))
    image = picture(stored, 20 + number)
    canvas = Canvas(image, np.empty_like(image))
    erasing.draw(canvas, rng())
    np.testing.assert_allclose(canvas.pixels().transpose(2, 0, 1), stored[f"re/out{number}"], **EXACT)


def assert_quantiles(stored: Arrays, name: str, drawn: np.ndarray, error: float = 0.025) -> None:
    """As many draws lie below each stored quantile as its level says."""
    for level, value in zip(stored["quantiles"], stored[name], strict=True):
        low, high = (drawn < value - 1e-9).mean(), (drawn <= value + 1e-9).mean()
        assert low - error < level < high + error, (name, level, value, low, high)


@pytest.mark.parametrize("beta", ["0.2", "0.3", "0.5", "1.0"])
def test_mixing_factors_equals_released_distribution(stored: Arrays, beta: str) -> None:
    drawn, generator = rng(), torch.Generator().manual_seed(0)
    singly = np.stack([mixing_factors(float(beta), drawn) for _ in range(8000)])
    beta_draws = beta_batch(float(beta), (8000, 3), generator, torch.device("cpu"))
    together = (beta_draws / beta_draws.sum(1, keepdim=True)).numpy()
    for factors in (singly, together):
        np.testing.assert_allclose(factors.sum(1), 1, rtol=1e-5)
        assert_quantiles(stored, f"mrle/factor_quantiles_{beta}", factors[:, 1])
        assert_quantiles(stored, f"mrle/factor_max_quantiles_{beta}", factors.max(1))
        largest = factors.max(1)
        found = [
            *(factors.mean(), factors.var(), np.corrcoef(factors.T)[np.triu_indices(3, 1)].mean()),
            *((largest > 0.9).mean(), (largest > 0.99).mean()),
        ]
        np.testing.assert_allclose(found, stored[f"mrle/factor_moments_{beta}"], atol=0.02)


@pytest.mark.parametrize("t_min", ["0.1", "0.01"])
@pytest.mark.parametrize("kind", ["ones", "noise"])
def test_rrle_equals_released_distribution(stored: Arrays, kind: str, t_min: str) -> None:
    source = np.ones((48, 24, 3)) if kind == "ones" else picture(stored, 30)
    transform, drawn, count = rrle(t_min=float(t_min)), rng(), 1500
    rectangles, changed, means = (np.empty(count) for _ in range(3))
    for number in range(count):
        image = source.copy()
        rectangles[number] = transform.enhance(image, drawn)
        changed[number] = (image != source).any(2).mean()
        means[number] = image.mean()
    group = f"rrle/{kind}_{t_min}"
    for name, values in (("count", rectangles), ("changed", changed), ("mean", means)):
        assert_quantiles(stored, f"{group}_{name}_quantiles", values, error=0.04)
    found = [rectangles.mean(), changed.mean(), means.mean(), (rectangles == 1).mean()]
    np.testing.assert_allclose(found, stored[f"{group}_moments"][[0, 2, 3, 4]], atol=0.15 if t_min == "0.01" else 0.06)


def test_beta_batch_equals_released_alpha_distribution(stored: Arrays) -> None:
    together = beta_batch(0.4, (20000,), torch.Generator().manual_seed(0), torch.device("cpu")).numpy()
    for drawn in (together, rng().beta(0.4, 0.4, 20000)):
        assert_quantiles(stored, "rrle/alpha_quantiles", drawn, error=0.015)
        found = [drawn.mean(), drawn.var(), (drawn < 0.1).mean(), (drawn > 0.9).mean()]
        np.testing.assert_allclose(found, stored["rrle/alpha_moments"], atol=0.015)


def test_mrle_in_a_view_changes_the_released_share_of_images(stored: Arrays) -> None:
    view = build_view(small_cfg("SYSU/rle.yml"), ["MRLE@0.5"])
    source = (255 * picture(stored, 30)).astype(np.uint8)
    changed = [not np.array_equal(view(source, rng(seed)), source) for seed in range(2000)]
    # A share of 2,000 draws is off by 0.011.
    assert abs(np.mean(changed) - stored["p/mrle"]) < 0.04


def test_rrle_of_a_batch_needs_as_many_rectangles_as_of_images() -> None:
    """On a dark image, which takes the most; changed pixels and means are as of single images."""
    source = (25 * rng(1).random((48, 24, 3))).astype(np.uint8)
    transform, count = rrle(), 600
    singly = np.stack([transform(source, rng(seed)) for seed in range(count)])
    batch = transform.batch(batch_of(source, count), torch.Generator().manual_seed(0)).permute(0, 2, 3, 1).numpy()
    for statistic in (lambda x: (x != source).any(3).mean((1, 2)), lambda x: x.mean((1, 2, 3))):
        first, second = statistic(singly), statistic(batch)
        np.testing.assert_allclose(first.mean(), second.mean(), rtol=0.1)
        np.testing.assert_allclose(first.std(), second.std(), rtol=0.15)


def test_rrle_lights_up_dark_channels_and_colors_a_gray_image() -> None:
    gray = np.full((48, 24, 3), 20, np.uint8)
    found = np.stack([rrle()(gray, rng(seed)) for seed in range(40)])
    assert found.max() > 200
    assert (np.ptp(found.astype(int), axis=3).max((1, 2)) > 0).mean() > 0.9


@pytest.mark.parametrize("beta", [1e-4, 0.3])
def test_linear_enhancement_of_a_black_image_is_black(beta: float) -> None:
    """Also at a beta so small that most draws are 0 to the computer's precision."""
    black = np.zeros((24, 12, 3), np.uint8)
    for transform in (MRLE(beta), rrle(beta)):
        assert all(transform(black, rng(seed)).max() == 0 for seed in range(5))
        assert transform.batch(batch_of(black, 5), torch.Generator().manual_seed(0)).max() == 0
    factors = np.stack([mixing_factors(beta, rng(seed)) for seed in range(50)])
    np.testing.assert_allclose(factors.sum(1), 1, rtol=1e-12)


def test_mrle_leaves_equal_channels_alone() -> None:
    gray = np.repeat(rng().integers(0, 256, (24, 12, 1), dtype=np.uint8), 3, axis=2)
    for seed in range(50):
        np.testing.assert_array_equal(MRLE(0.3)(gray, rng(seed)), gray)
    batch = batch_of(gray, 50)
    assert torch.equal(MRLE(0.3).batch(batch, torch.Generator().manual_seed(0)), batch)


def test_linear_enhancement_leaves_its_input_alone() -> None:
    image = rng().integers(0, 256, (24, 12, 3), dtype=np.uint8)
    kept = image.copy()
    for transform in (MRLE(0.3), rrle()):
        found = transform(image, rng())
        np.testing.assert_array_equal(image, kept)
        assert (found.shape, found.dtype) == (image.shape, image.dtype)
        np.testing.assert_array_equal(found, transform(image, rng()))


@pytest.mark.parametrize(
    ("overrides", "names", "message"),
    [
        (["INPUT.MRLE.BETA", "0.0"], ["MRLE"], r"INPUT\.MRLE\.BETA: must be above 0, got 0\.0"),
        (["INPUT.RRLE.BETA", "-1.0"], ["RRLE"], r"INPUT\.RRLE\.BETA: must be above 0, got -1\.0"),
        (["INPUT.RRLE.T_MIN", "1.5"], ["RRLE"], r"INPUT\.RRLE\.T_MIN: must be above 0 and at most 1, got 1\.5"),
        (["INPUT.RRLE.AREA", "[0.02, 1.4]"], ["RRLE"], r"INPUT\.RRLE\.AREA: shares of the image must be at most 1"),
        (["INPUT.RRLE.ASPECT", "[3.0, 0.3]"], ["RRLE"], r"INPUT\.RRLE\.ASPECT: must be the smallest and the largest"),
        ([], ["Normalize", "MRLE"], "'MRLE' takes no normalized image"),
    ],
)
def test_build_view_with_a_wrong_value_of_linear_enhancement_is_one_error(
    overrides: list[str], names: list[str], message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        build_view(small_cfg("SYSU/wrim.yml", *overrides), names)
