from typing import Any

import numpy as np
import pytest
from helpers import small_cfg
from reference.augmentation import augmented

from vireid_plugins.data.transforms import AdaptiveGray, ChannelExchange, Erasing, Flip, PadCrop, View, build_view
from vireid_plugins.errors import ConfigError

RNG = np.random.default_rng


def image(height: int = 24, width: int = 12) -> np.ndarray:
    return RNG(0).integers(0, 256, (height, width, 3), dtype=np.uint8)


@pytest.mark.parametrize("transform", [Flip(), PadCrop(4), Erasing(), ChannelExchange(), AdaptiveGray()])
def test_transforms_keep_the_form_repeat_and_leave_their_input_alone(transform) -> None:
    source = image()
    kept = source.copy()
    for seed in range(20):
        out = transform(source, RNG(seed))
        assert out.shape == source.shape
        assert out.dtype == np.uint8
        np.testing.assert_array_equal(out, transform(source, RNG(seed)))
    np.testing.assert_array_equal(source, kept)


def test_flip_mirrors_columns() -> None:
    np.testing.assert_array_equal(Flip()(image(), RNG(0))[:, 0], image()[:, -1])


def test_pad_crop_shows_every_offset_and_the_value_outside() -> None:
    source = image(6, 5)
    padded = np.pad(source, ((2, 2), (2, 2), (0, 0)), constant_values=7)
    windows = {padded[t : t + 6, left : left + 5].tobytes() for t in range(5) for left in range(5)}
    drawn = {PadCrop(2, 7)(source, RNG(seed)).tobytes() for seed in range(400)}
    assert drawn == windows


def test_pad_crop_in_the_symmetric_mode_shows_every_offset_of_the_mirrored_borders() -> None:
    source = image(6, 5)
    for size in (2, 8):
        padded = np.pad(source, ((size, size), (size, size), (0, 0)), mode="symmetric")
        steps = 2 * size + 1
        windows = {padded[t : t + 6, left : left + 5].tobytes() for t in range(steps) for left in range(steps)}
        drawn = {PadCrop(size, mode="symmetric")(source, RNG(seed)).tobytes() for seed in range(400)}
        assert drawn == windows if size == 2 else drawn < windows
    with pytest.raises(
        ConfigError, match=r"INPUT\.PADDING\.MODE: unknown value 'edge'; available: constant, symmetric"
    ):
        PadCrop(mode="edge")


def test_erasing_fills_one_rectangle_within_its_bounds() -> None:
    source = np.zeros((60, 40, 3), dtype=np.uint8)
    shares = []
    for seed in range(200):
        erased = (Erasing((9, 8, 7), area=(0.1, 0.3), aspect=(0.5, 2))(source, RNG(seed)) != 0).all(-1)
        rows, columns = np.flatnonzero(erased.any(1)), np.flatnonzero(erased.any(0))
        h, w = np.ptp(rows) + 1, np.ptp(columns) + 1
        assert erased.sum() == h * w
        assert 0.45 < h / w < 2.2
        shares.append(h * w / erased.size)
    assert 0.09 < min(shares) < 0.14
    assert 0.26 < max(shares) < 0.31


def test_channel_exchange_copies_each_channel_alike_often() -> None:
    source = image()
    counts = [0, 0, 0]
    for seed in range(600):
        out = ChannelExchange()(source, RNG(seed))
        counts[next(c for c in range(3) if (out == source[..., c : c + 1]).all())] += 1
    assert min(counts) > 150


def test_adaptive_gray_draws_its_five_outcomes_with_their_probabilities() -> None:
    source = image()
    luma = np.rint(source @ np.array([0.2989, 0.5870, 0.1140], dtype=np.float32)).astype(np.uint8)
    counts = dict.fromkeys(("0", "1", "2", "luma", "same"), 0)
    for seed in range(4000):
        out = AdaptiveGray(0.5)(source, RNG(seed))
        cases = {str(c): source[..., c] for c in range(3)} | {"luma": luma}
        name = next((n for n, channel in cases.items() if (out == channel[..., None]).all()), "same")
        if name == "same":
            np.testing.assert_array_equal(out, source)
        counts[name] += 1
    for name, share in {"0": 0.25, "1": 0.25, "2": 0.25, "luma": 0.125, "same": 0.125}.items():
        assert abs(counts[name] / 4000 - share) < 0.03


def test_view_applies_each_step_with_its_probability() -> None:
    class Count:
        calls = 0

        def __call__(self, image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
            self.calls += 1
            return image

    always, half, never = Count(), Count(), Count()
    view = View([(always, 1), (half, 0.5), (never, 0)])
    for seed in range(1000):
        view(image(), RNG(seed))
    assert always.calls == 1000
    assert 430 < half.calls < 570
    assert never.calls == 0


def test_build_view_takes_names() -> None:
    view = build_view(small_cfg(), ["PadCrop", "Flip@0.5"])
    assert [(type(t).__name__, p) for t, p in view.steps] == [("PadCrop", 1), ("Flip", 0.5)]


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        ("Flap", "ChannelExchange"),
        ("Flip@2", "between 0 and 1"),
        ("Flip@x", "between 0 and 1"),
        (3, r"each view is a list of names, .*; got \[3\]"),
    ],
)
def test_build_view_with_a_wrong_entry_is_one_error(entry: Any, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        build_view(small_cfg(), [entry])


MEAN, STD = np.float32([123.675, 116.28, 103.53]), np.float32([58.395, 57.12, 57.375])


def after_norm(*names: str, **keys: str) -> View:
    overrides = [part for key, value in keys.items() for part in (key.replace("__", "."), value)]
    return build_view(small_cfg("SYSU/wrim.yml", "INPUT.AFTER_NORM", "True", *overrides), list(names))


def test_build_view_after_norm_copies_channels_of_the_normalised_image() -> None:
    """Which is not the same as copying raw channels, and nothing is rounded or cut off."""
    image = np.random.default_rng(0).integers(0, 256, (16, 8, 3), dtype=np.uint8)
    for seed in range(6):
        found = (after_norm("ChannelExchange")(image, np.random.default_rng(seed)) - MEAN) / STD
        normalised = (image - MEAN) / STD
        assert found.dtype == np.float32
        assert any(np.allclose(found, normalised[..., [c] * 3], atol=1e-5) for c in range(3))
        raw = build_view(small_cfg(), ["ChannelExchange"])(image, np.random.default_rng(seed))
        assert np.abs(found - (raw - MEAN) / STD).max() > 0.1


def test_build_view_after_norm_erases_with_the_value_of_255() -> None:
    image = np.full((32, 16, 3), 200, dtype=np.uint8)
    view = after_norm("Flip", "Erasing", INPUT__REA__VALUE="[127.5, 51.0, 0.0]")
    found = (view(image, np.random.default_rng(1)) - MEAN) / STD
    erased = np.isclose(found, [0.5, 0.2, 0.0], atol=1e-5).all(-1)
    assert 0.01 < erased.mean() < 0.5
    np.testing.assert_allclose(found[~erased], np.broadcast_to((200 - MEAN) / STD, found[~erased].shape), atol=1e-5)


def test_build_view_after_norm_checks_the_order_and_gives_floats() -> None:
    with pytest.raises(ConfigError, match="'PadCrop' cannot follow 'Erasing'"):
        after_norm("Erasing", "PadCrop")
    image = np.random.default_rng(0).integers(0, 256, (16, 8, 3), dtype=np.uint8)
    assert after_norm("Flip")(image, np.random.default_rng(0)).dtype == np.uint8
    assert build_view(small_cfg(), ["Flip", "Erasing"])(image, np.random.default_rng(0)).dtype == np.uint8
    # A coin that leaves the image alone must not leave its type behind.
    assert after_norm("Erasing@0.0")(image, np.random.default_rng(0)).dtype == np.float32


def test_build_view_of_mscmnets_infrared_steps_draws_their_outcomes() -> None:
    image = np.random.default_rng(0).integers(0, 256, (8, 4, 3), dtype=np.uint8)
    gray_image = np.rint(image @ np.float32([0.2989, 0.5870, 0.1140])).astype(np.uint8)
    counts = {"second": 0, "gray": 0, "same": 0}
    view = build_view(small_cfg(), ["SecondChannelOrGray"])
    for seed in range(2000):
        found = view(image, np.random.default_rng(seed))
        cases = {"second": image[..., [1] * 3], "gray": np.repeat(gray_image[..., None], 3, -1), "same": image}
        counts[next(name for name, case in cases.items() if np.array_equal(found, case))] += 1
    assert counts["second"] == pytest.approx(1000, abs=90)
    assert counts["gray"] == pytest.approx(500, abs=80)
    scaled = build_view(small_cfg(), ["ChannelScale"])(np.full((2, 2, 3), 200, np.uint8), np.random.default_rng(0))
    assert len(np.unique(scaled)) == 3
    assert scaled.min() >= 4
    assert scaled.max() <= 200


def test_build_view_of_brightness_stays_in_range_and_gray_has_equal_channels() -> None:
    image = np.full((4, 4, 3), 200, dtype=np.uint8)
    found = [build_view(small_cfg(), ["Brightness"])(image, np.random.default_rng(s))[0, 0, 0] for s in range(60)]
    assert 95 <= min(found) < 130
    assert max(found) == 255
    colours = np.random.default_rng(0).integers(0, 256, (4, 4, 3), dtype=np.uint8)
    found = build_view(small_cfg(), ["Gray"])(colours, np.random.default_rng(0))
    assert (found == found[..., :1]).all()


def test_build_view_normalizes_where_the_view_says() -> None:
    """Channels are copied before, and the noise is that of the normalized image."""
    view = build_view(
        small_cfg("SYSU/wrim.yml", "INPUT.REA.FILL", "noise"), ["ChannelExchange", "Normalize", "Erasing"]
    )
    assert view.late == 1
    source = np.full((64, 32, 3), 200, np.uint8)
    drawn = []
    for seed in range(20):
        found = (view(source, RNG(seed)) - MEAN) / STD
        erased = ~np.isclose(found, (200 - MEAN) / STD, atol=1e-4).any(-1)
        drawn.append(found[erased])
    noise = np.concatenate(drawn)
    assert len(noise) > 3000
    np.testing.assert_allclose([noise.mean(), noise.std()], [0, 1], atol=0.05)
    assert np.abs(np.corrcoef(noise.T) - np.eye(3)).max() < 0.06


@pytest.mark.parametrize(
    ("names", "keys", "message"),
    [
        (["Normalize", "PadCrop"], (), "'PadCrop' takes no normalized image; move it before 'Normalize'"),
        (["Erasing"], ("INPUT.REA.FILL", "noise"), "'Erasing' fills with noise"),
        (["Erasing", "Normalize"], ("INPUT.REA.FILL", "noise"), "'Erasing' fills with noise"),
        (["Erasing"], ("INPUT.REA.FILL", "black"), r"INPUT\.REA\.FILL: unknown value 'black'; available: noise, value"),
    ],
)
def test_build_view_of_a_step_on_the_wrong_side_of_normalize_is_one_error(
    names: list[str], keys: tuple[str, ...], message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        build_view(small_cfg("SYSU/wrim.yml", *keys), names)


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("AREA", [2, 40], r"INPUT.REA.AREA: shares of the image must be at most 1, got \[2, 40\]"),
        ("VALUE", [1.0], "INPUT.REA.VALUE: must be three numbers from 0 to 255"),
        ("VALUE", [124, 116, 256], "INPUT.REA.VALUE: must be three numbers from 0 to 255"),
        ("VALUE", [0.4914, 0.4822, 0.4465], r"is on the 0\.\.1 scale; multiply it by 255"),
    ],
)
def test_erasing_refuses_values_of_another_scale(key: str, value: list[float], message: str) -> None:
    cfg = small_cfg().clone()
    cfg.INPUT.REA[key] = value
    with pytest.raises(ConfigError, match=message):
        Erasing.from_config(cfg)


RECIPES = ["agw", "caj", "deen", "icre", "idkl", "mpanet", "mscm", "rle", "saai", "wrim"]
# A view of steps that no recipe has in this order.
ODD = [["Flip", "PadCrop", "Flip@0.5", "PadCrop", "Erasing", "PadCrop@0.5", "Flip@0.5"], []]


# PMT's blur reflects ten pixels at each border, so that it takes no smaller image.
SIZED = [*((recipe, size) for recipe in [*RECIPES, "odd"] for size in ((24, 12), (7, 5))), ("pmt", (24, 12))]


@pytest.mark.parametrize(("recipe", "size"), SIZED)
def test_view_in_one_pass_gives_the_bytes_and_draws_of_its_steps(recipe: str, size: tuple[int, int]) -> None:
    """Padding is larger than the smaller image: whole crops may show padding alone."""
    cfg = small_cfg(f"SYSU/{'wrim' if recipe == 'odd' else recipe}.yml", "INPUT.PADDING.VALUE", "9")
    chains = ODD if recipe == "odd" else [*cfg.INPUT.VIEWS.VISIBLE, *cfg.INPUT.VIEWS.INFRARED]
    chains = [*chains, *cfg.INPUT.FIRST_VIEWS.VISIBLE, *cfg.INPUT.FIRST_VIEWS.INFRARED]
    source = image(*size)
    source.flags.writeable = False
    for view in (build_view(cfg, chain) for chain in chains):
        for seed in range(60):
            fast, plain = RNG(seed), RNG(seed)
            expected = augmented(view, source, plain)
            row = np.full(source.shape, 77, view.dtype)
            view.into(row, source, fast)
            assert row.dtype == expected.dtype
            np.testing.assert_array_equal(row, expected)
            assert fast.random() == plain.random(), "the generators have drawn as much"
            wide = np.full(source.shape, 77, np.float32)
            view.into(wide, source, RNG(seed))
            np.testing.assert_array_equal(wide, expected.astype(np.float32))


def test_view_normalizes_what_a_transform_returns_in_any_order_of_memory() -> None:
    """A blur by torch returns channels as planes, of which rows are no views."""

    class Planes:
        def __call__(self, image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
            return np.ascontiguousarray(image.transpose(2, 0, 1)).transpose(1, 2, 0)

    found = View([(Planes(), 1), (Erasing(), 0)], 1, MEAN, STD)(image(), RNG(0))
    np.testing.assert_allclose(found, image(), atol=1e-4)


def test_view_of_a_transform_that_returns_another_type_is_one_error() -> None:
    class Scaled:
        def __call__(self, image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
            return image / 2

    with pytest.raises(ConfigError, match=r"Scaled must return an image \(24, 12, 3\) of uint8.* of float64"):
        View([(Scaled(), 1)])(image(), RNG(0))
