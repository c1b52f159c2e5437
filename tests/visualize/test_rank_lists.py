from pathlib import Path
from typing import Any

import numpy as np
import pytest
from matplotlib.colors import to_hex
from matplotlib.patches import Circle, Rectangle

from vireid_plugins.data.datasets import SYSUMM01
from vireid_plugins.data.decode import read_image
from vireid_plugins.errors import ConfigError
from vireid_plugins.evaluation import PROTOCOLS, EvaluationPlan
from vireid_plugins.evaluation.evaluate import score
from vireid_plugins.evaluation.trials import draw_trials
from vireid_plugins.visualize import (
    Extraction,
    RankList,
    Style,
    choose,
    contact_sheet,
    nearest,
    rank_lists,
    rank_trial,
)
from vireid_plugins.visualize.rank_lists import QUERY, picture_of_hits
from vireid_plugins.visualize.style import BLUE, GRAY, INK, ORANGE

ALL = PROTOCOLS["sysu/official/all/1shot"]


def noisy(tree: Path, seed: int) -> Extraction:
    """Features that say the identity, with much noise."""
    dataset = SYSUMM01(root=str(tree))
    paths = [str(Path(path).relative_to(dataset.folder)) for path, _, _ in (*dataset.query, *dataset.gallery)]
    identities = np.array([int(path.split("/")[1]) for path in paths])
    noise = 0.8 * np.random.default_rng(seed).standard_normal((len(paths), identities.max() + 1))
    return Extraction(EvaluationPlan(dataset, [ALL]), np.eye(identities.max() + 1)[identities] + noise, paths)


def ranked_of(tree: Path) -> RankList:
    paths = [Path(path) for path, _, _ in SYSUMM01(root=str(tree)).gallery[:4]]
    return RankList(paths[0], paths, [True, False, True, True], [False, False, False, True])


def frames_of(figure: Any) -> list[tuple[str, str]]:
    """Color and kind of line of every frame, from left to right."""
    found = [one for one in figure.axes[0].patches if isinstance(one, Rectangle)]
    return [(to_hex(one.get_edgecolor()), "-" if one.get_linestyle() == "-" else "dashed") for one in found]


def test_rank_lists_have_frames_that_say_right_wrong_and_hidden(tree: Path) -> None:
    figure = rank_lists([ranked_of(tree)])
    ways = [(INK, "-"), (BLUE, "-"), (ORANGE, "-"), (BLUE, "-"), ("#ffffff", "-"), (GRAY, "dashed")]
    assert frames_of(figure) == [(color.lower(), line) for color, line in ways]
    # A tick is two lines, and so is a cross.
    badges = [one for one in figure.axes[0].patches if isinstance(one, Circle)]
    assert [to_hex(one.get_facecolor()) for one in badges] == [one.lower() for one in (BLUE, ORANGE, BLUE)]
    crossed = [lines_cross(*figure.axes[0].lines[n : n + 2]) for n in (0, 2, 4)]
    assert crossed == [False, True, False]
    plain = rank_lists([ranked_of(tree)], frame=QUERY)
    assert set(frames_of(plain)) == {(INK.lower(), "-")}
    assert not plain.axes[0].lines


def lines_cross(one: Any, other: Any) -> bool:
    """Whether two straight lines cross between their ends."""
    (a, b), (c, d) = one.get_xydata(), other.get_xydata()
    sides = [np.sign(np.linalg.det([q - p, r - p])) for p, q, r in ((a, b, c), (a, b, d), (c, d, a), (c, d, b))]
    return sides[0] * sides[1] < 0 and sides[2] * sides[3] < 0


def test_rank_lists_holds_each_photograph_with_the_pixels_that_were_asked_for(tree: Path) -> None:
    ranked = ranked_of(tree)
    figure = rank_lists([ranked], style=Style(dpi=200, size=(12.7, 6.35)))
    shown = figure.axes[0].images
    assert [image.get_array().shape for image in shown] == [(100, 50, 3)] * 5
    np.testing.assert_array_equal(shown[1].get_array(), read_image(str(ranked.gallery[0]), (100, 50)))
    # An excluded image is pale.
    assert shown[4].get_array().mean() > read_image(str(ranked.gallery[3]), (100, 50)).mean() + 20
    # In centimeters, to a pixel per image.
    width = 2.54 * rank_lists([ranked], style=Style(width=8)).get_figwidth()
    assert 7.8 < width <= 8


def test_picture_of_hits_says_the_cosine_below_each_hit(tree: Path) -> None:
    paths = [str(path) for path in ranked_of(tree).gallery]
    figure = picture_of_hits([(paths[0], [(paths[1], 0.98765), (paths[2], -0.25)]), (paths[3], [(paths[0], 0.5)])])
    photographs = [image.get_extent() for image in figure.axes[0].images]
    cosines = {one.get_text(): one.get_position() for one in figure.axes[0].texts if "." in one.get_text()}
    assert list(cosines) == ["0.988", "-0.250", "0.500"]
    for (x, y), (left, right, bottom, _) in zip(cosines.values(), [photographs[n] for n in (1, 2, 4)], strict=True):
        assert left < x < right
        assert bottom < y < bottom + 15
    # Nothing is written over the row below.
    assert cosines["0.988"][1] < photographs[3][3] - 3


def test_rank_lists_of_two_methods_show_each_query_once_between_their_names(tree: Path) -> None:
    ranked = ranked_of(tree)
    figure = rank_lists([ranked] * 4, names=["first", "second"], style=Style(columns=2))
    assert len(figure.axes[0].images) == 2 + 4 * 4
    words = [text.get_text() for text in figure.axes[0].texts]
    assert [word for word in words if word in ("first", "second")] == ["first", "second"] * 2
    tops = {text.get_text(): text.get_position()[1] for text in figure.axes[0].texts}
    assert tops["first"] < tops["second"]


@pytest.mark.parametrize("style", [Style(width=3), Style(width=8, size=(60, 30)), Style(width=8, columns=4)])
def test_rank_lists_that_do_not_fit_say_how_wide_an_image_can_be(tree: Path, style: Style) -> None:
    one = ranked_of(tree)
    with pytest.raises(ConfigError, match=r"--width: in [38]\.0 cm, [14] x 11 images are at most \d+\.\d mm wide"):
        rank_lists(
            [RankList(one.query, one.gallery * 2 + one.gallery[:2], one.right * 2 + one.right[:2])] * 4, style=style
        )


def test_nearest_follows_the_features_and_the_drop_rule(tree: Path) -> None:
    found = noisy(tree, 0)
    dataset = found.dataset
    lists = nearest(found, ALL, queries=60, top=100)
    gallery = {dataset.folder / path for path in draw_trials(dataset, ALL)[0].gallery}
    hidden = 0
    for one in lists:
        assert set(one.gallery) == gallery
        assert one.right == [path.parent.name == one.query.parent.name for path in one.gallery]
        assert one.distances == sorted(one.distances)
        unseen = [one.query.parent.parent.name == "cam3" and path.parent.parent.name == "cam2" for path in one.gallery]
        assert one.hidden == unseen
        hidden += sum(unseen)
    assert hidden
    # What stands at a list is what the protocol counts.
    ranking = score(found.features, found.paths, found.plan)[0].rankings[0]
    assert len(lists) == ranking.counted
    assert np.mean([one.first == 1 for one in lists]) == np.float64(ranking.cmc[0])
    assert abs(np.mean([one.precision for one in lists]) - ranking.mAP) < 1e-12


def test_contact_sheet_has_one_identity_a_row(tree: Path) -> None:
    sheet = contact_sheet(SYSUMM01(root=str(tree)), identities=2, images=1, size=(40, 20))
    assert sheet.size == (6 * 23, 2 * 43)


def test_choose_takes_the_same_queries_for_every_model(tree: Path) -> None:
    trials = [rank_trial(noisy(tree, seed), ALL) for seed in (0, 1)]
    for options in ({}, {"seed": 3}, {"wanted": [trials[0].query_paths[0], str(trials[0].query.ids[-1])]}):
        rows = [choose(trial, 4, **options) for trial in trials]
        assert rows[0] == rows[1]
        assert (trials[0].first[rows[0]] >= 0).all()
    assert choose(trials[0], 4, seed=3) != choose(trials[0], 4, seed=4)
    first = trials[0].query_paths[0]
    assert choose(trials[0], 1, wanted=[f"/data/SYSU-MM01/{first}"]) == [0]
    assert (
        trials[0].query.ids[choose(trials[0], 1, wanted=[str(trials[0].query.ids[-1])])[0]] == trials[0].query.ids[-1]
    )
    assert len(choose(trials[0], 10_000)) == len(trials[0].matched)
    for word in ("99999", "x.jpg", f"x{first}"):
        with pytest.raises(
            ConfigError, match=f"--query: '{word}' is no query with a match under {ALL.name}; identities: "
        ):
            choose(trials[0], 1, wanted=[word])


def test_nearest_of_a_trial_leaves_out_what_is_excluded(tree: Path) -> None:
    trial = rank_trial(noisy(tree, 0), ALL)
    for row, column in enumerate(trial.nearest):
        kept = [n for n in range(len(trial.gallery_paths)) if not trial.hidden[row, n]]
        assert column == min(kept, key=lambda n: trial.distance[row, n])
