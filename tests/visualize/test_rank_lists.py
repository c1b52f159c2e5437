from pathlib import Path

import numpy as np

from vireid_plugins.data.datasets import SYSUMM01
from vireid_plugins.evaluation import PROTOCOLS, EvaluationPlan
from vireid_plugins.evaluation.evaluate import score
from vireid_plugins.evaluation.trials import draw_trials
from vireid_plugins.visualize import Extraction, RankList, contact_sheet, nearest, rank_lists
from vireid_plugins.visualize.rank_lists import FRAME, HIDDEN, QUERY, RIGHT, WRONG

ALL = PROTOCOLS["sysu/official/all/1shot"]


def test_rank_lists_have_frames_that_say_right_wrong_and_hidden(tree: Path) -> None:
    dataset = SYSUMM01(root=str(tree))
    paths = [Path(path) for path, _, _ in dataset.gallery[:4]]
    ranked = RankList(paths[0], paths, [True, False, True, True], [False, False, False, True])
    sheet = np.asarray(rank_lists([ranked], size=(40, 20)))
    colours = [tuple(int(c) for c in sheet[-20, x]) for x in range(sheet.shape[1])]
    known = (QUERY, RIGHT, WRONG, HIDDEN)
    frames = [colour for n, colour in enumerate(colours) if colour in known and colours[n - 1] != colour]
    # Every picture shows a left and a right side of its frame.
    assert frames == [colour for colour in (QUERY, RIGHT, WRONG, RIGHT, HIDDEN) for _ in range(2)]
    assert sum(colour == RIGHT for colour in colours) == 2 * 2 * FRAME
    plain = np.asarray(rank_lists([ranked], size=(40, 20), frame=QUERY))
    assert not (plain[-20] == RIGHT).all(-1).any()


def test_nearest_follows_the_features_and_the_drop_rule(tree: Path) -> None:
    dataset = SYSUMM01(root=str(tree))
    paths = [str(Path(path).relative_to(dataset.folder)) for path, _, _ in (*dataset.query, *dataset.gallery)]
    identities = np.array([int(path.split("/")[1]) for path in paths])
    noise = 0.8 * np.random.default_rng(0).standard_normal((len(paths), identities.max() + 1))
    found = Extraction(EvaluationPlan(dataset, [ALL]), np.eye(identities.max() + 1)[identities] + noise, paths)
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
