from pathlib import Path

import numpy as np

from vireid_plugins.analysis import RankList, contact_sheet, nearest, rank_lists
from vireid_plugins.analysis.rank_lists import FRAME, QUERY, RIGHT, WRONG
from vireid_plugins.data.datasets import SYSUMM01
from vireid_plugins.evaluation import PROTOCOLS
from vireid_plugins.evaluation.draws import draw_trials

ALL = PROTOCOLS["sysu/official/all/1shot"]


def test_frames_say_right_and_wrong(tree: Path) -> None:
    dataset = SYSUMM01(root=str(tree))
    paths = [Path(path) for path, _, _ in dataset.gallery[:3]]
    sheet = np.asarray(rank_lists([RankList(paths[0], paths, [True, False, True])], size=(40, 20)))
    colours = [tuple(int(c) for c in sheet[-20, x]) for x in range(sheet.shape[1])]
    frames = [
        colour for n, colour in enumerate(colours) if colour in (QUERY, RIGHT, WRONG) and colours[n - 1] != colour
    ]
    # Every picture shows a left and a right side of its frame.
    assert frames == [colour for colour in (QUERY, RIGHT, WRONG, RIGHT) for _ in range(2)]
    assert sum(colour == RIGHT for colour in colours) == 2 * 2 * FRAME


def test_lists_follow_the_features_and_the_drop_rule(tree: Path) -> None:
    dataset = SYSUMM01(root=str(tree))
    paths = [str(Path(path).relative_to(dataset.folder)) for path, _, _ in (*dataset.query, *dataset.gallery)]
    identities = np.array([int(path.split("/")[1]) for path in paths])
    lists = nearest(dataset, np.eye(identities.max() + 1)[identities], paths, ALL, queries=9, top=5)
    assert len(lists) == 9
    gallery = {dataset.folder / path for path in draw_trials(dataset, ALL)[0].gallery}
    for found in lists:
        right = [path.parent.name == found.query.parent.name for path in found.gallery]
        assert found.right == right
        assert right == sorted(right, reverse=True)
        assert right[0]
        assert set(found.gallery) <= gallery
        if found.query.parent.parent.name == "cam3":
            assert all(path.parent.parent.name != "cam2" for path in found.gallery)


def test_a_contact_sheet_has_one_identity_a_row(tree: Path) -> None:
    sheet = contact_sheet(SYSUMM01(root=str(tree)), identities=2, images=1, size=(40, 20))
    assert sheet.size == (6 * 23, 2 * 43)
