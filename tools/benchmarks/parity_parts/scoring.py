"""Score the same features with the public code's evaluation and with ours.

Features are random with structure: every identity has a center, every modality a shift, and with the noise about half
of the queries have a correct match at rank 1. Distances are those by which the public test scripts rank.
"""

import importlib
import math
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from parity_parts.exchange import Desk
from parity_parts.stand_ins import Supplied
from vireid_plugins.data.batch import INFRARED, VISIBLE
from vireid_plugins.evaluation import PROTOCOLS, evaluate_ranking
from vireid_plugins.evaluation.postprocess import PostProcessing

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
# In points of a score in percent. Public code sums rank curves in float32, which is accurate to some 1e-5.
TOLERANCE = 1e-4
RANKS = (1, 5, 10, 20)
# Identities, cameras by modality, and images per identity and camera.
CAMERAS: dict[str, dict[int, tuple[int, ...]]] = {
    "sysu": {VISIBLE: (1, 2, 4, 5), INFRARED: (3, 6)},
    "regdb": {VISIBLE: (2,), INFRARED: (3,)},
    "llcm": {VISIBLE: tuple(range(1, 10)), INFRARED: (1, 2, 4, 5, 6, 7, 8, 9)},
}
IDENTITIES, IMAGES, TRIALS = 40, 12, 3


@dataclass(frozen=True)
class Images:
    """Test images of one modality.

    Attributes:
        parts: features (n, D) that are compared part by part: image and mirror image if a test adds them.
        ids: (n,).
        cams: (n,).
    """

    parts: list[Floats]
    ids: Ints
    cams: Ints


@dataclass(frozen=True)
class Case:
    """One thing that a public test prints.

    Attributes:
        dataset: sysu, regdb or llcm.
        protocol: name of the protocol in this package.
        weights: weights of the parts' inner products in the similarity.
        normalized: whether the parts are L2-normalized.
        metric: this package's metric for the concatenated parts.
        refinement: post-processing of the distances.
        wide: IDKL's re-ranking with float64 instead of its float16 arrays, to see their effect.
        remark: note on the row.
    """

    dataset: str
    protocol: str
    weights: Sequence[float] = (1.0,)
    normalized: bool = True
    metric: str = "cosine"
    refinement: PostProcessing = PostProcessing()  # noqa: RUF009  frozen
    wide: bool = False
    remark: str = ""


_SYSU = [Case("sysu", f"sysu/agw/{mode}/1shot") for mode in ("all", "indoor")]
_REGDB = [Case("regdb", f"regdb/{direction}") for direction in ("v2i", "i2v")]
_QUERY_ONLY, _ORDINARY = (PostProcessing(form, k1=20, k2=6, lambda_=0.3) for form in ("query_only", "ordinary"))


_DEEN_WEIGHTS: list[tuple[list[float], str]] = [
    ([1.0] * 6, "equal weights"),
    ([0.1, 0.9] * 3, "0.1 pooled, 0.9 neck"),
]
_REFINED: list[tuple[PostProcessing, bool]] = [(PostProcessing(), False), (_ORDINARY, False), (_ORDINARY, True)]


def _deen(dataset: str, protocol: str) -> list[Case]:
    return [Case(dataset, protocol, weights, metric="inner_product", remark=words) for weights, words in _DEEN_WEIGHTS]


CASES: dict[str, list[Case]] = {
    "agw": [*_SYSU, *_REGDB],
    "caj": [*_SYSU, *_REGDB],
    "deen": [
        *_deen("sysu", "sysu/agw/all/1shot"),
        *_deen("regdb", "regdb/v2i"),
        *_deen("llcm", "llcm/i2v"),
        *_deen("llcm", "llcm/v2i_transposed"),
    ],
    "mscm": [*_SYSU, *_REGDB, Case("llcm", "llcm/i2v", [1.0, 1.0], metric="inner_product", remark="pooled + neck")],
    "idkl": [
        *(Case("sysu", f"sysu/official/{mode}/{n}shot") for mode in ("all", "indoor") for n in (1, 10)),
        *(Case("sysu", "sysu/official/all/1shot", refinement=_QUERY_ONLY, wide=wide) for wide in (False, True)),
        *(
            Case("regdb", f"regdb/{direction}/distinct_id", normalized=False, metric="euclidean")
            for direction in ("i2v", "v2i")
        ),
        *(
            Case("llcm", f"llcm/full/{direction}", normalized=False, metric="euclidean", refinement=refined, wide=wide)
            for direction in ("i2v", "v2i")
            for refined, wide in _REFINED
        ),
    ],
}


def images(case: Case, modality: int) -> Images:
    """Return the test images of a modality, drawn with a fixed seed."""
    rng = np.random.default_rng([sorted(CAMERAS).index(case.dataset), modality, 1])
    centers = np.random.default_rng(7).standard_normal((IDENTITIES, 64))
    cameras = CAMERAS[case.dataset][modality]
    ids = np.repeat(np.arange(1, IDENTITIES + 1), len(cameras) * IMAGES)
    cams = np.tile(np.repeat(cameras, IMAGES), IDENTITIES)
    shift = np.random.default_rng([modality, 2]).standard_normal(64)
    parts = []
    for _ in case.weights:
        features = centers[ids - 1] + shift + 2.2 * rng.standard_normal((len(ids), 64))
        # Norms differ, so that a missing normalization shows.
        features *= rng.uniform(0.5, 2, (len(ids), 1))
        parts.append(features / np.linalg.norm(features, axis=1, keepdims=True) if case.normalized else features)
    return Images(parts, ids, cams)


def trials(case: Case) -> list[tuple[Images, Images]]:
    """Return query and gallery of every trial; the drawn side takes the first images of a shuffled order."""
    protocol = PROTOCOLS[case.protocol]
    query_side, gallery_side = (INFRARED, VISIBLE) if protocol.direction == "i2v" else (VISIBLE, INFRARED)
    query, gallery = images(case, query_side), images(case, gallery_side)
    if protocol.mode == "indoor":
        gallery = _chosen(gallery, np.isin(gallery.cams, (1, 2)))
    if protocol.draw == "everything":
        return [(query, gallery)]
    drawn = []
    for trial in range(TRIALS):
        if protocol.drawn == "query":
            drawn.append((_chosen(query, _drawn(query, protocol.shots, trial)), gallery))
        else:
            drawn.append((query, _chosen(gallery, _drawn(gallery, protocol.shots, trial))))
    return drawn


def shuffled(identity: int, camera: int) -> Ints:
    """Return the orders (TRIALS, IMAGES) in which the images of an identity in a camera are drawn, from 0."""
    rng = np.random.default_rng([identity, camera])
    return np.array([rng.permutation(IMAGES) for _ in range(TRIALS)])


def _drawn(of: Images, shots: int, trial: int) -> npt.NDArray[np.bool_]:
    chosen = np.zeros(len(of.ids), bool)
    for identity in np.unique(of.ids):
        for camera in np.unique(of.cams):
            rows = np.flatnonzero((of.ids == identity) & (of.cams == camera))
            chosen[rows[shuffled(identity, camera)[trial][:shots]]] = True
    return chosen


def _chosen(of: Images, rows: npt.NDArray[np.bool_]) -> Images:
    return Images([part[rows] for part in of.parts], of.ids[rows], of.cams[rows])


def ours(case: Case) -> dict[str, float]:
    """Score a case with this package, in percent."""
    protocol = PROTOCOLS[case.protocol]
    rankings = []
    for query, gallery in trials(case):
        left, right = (_side_by_side(part, case.weights) for part in (query, gallery))
        distance = case.refinement.distance(left, right, case.metric)
        rankings.append(
            evaluate_ranking(
                distance, query.ids, gallery.ids, query.cams, gallery.cams, drop=protocol.drop, cmc=protocol.cmc
            )
        )
    scores = {f"rank-{r}": 100 * float(np.mean([ranking.cmc[r - 1] for ranking in rankings])) for r in RANKS}
    scores["mAP"] = 100 * float(np.mean([ranking.mAP for ranking in rankings]))
    scores["mINP"] = 100 * float(np.mean([ranking.mINP for ranking in rankings]))
    return scores


def _side_by_side(of: Images, weights: Sequence[float]) -> Floats:
    return np.concatenate([weight**0.5 * part for weight, part in zip(weights, of.parts, strict=True)], axis=1)


def score_released(desk: Desk, method: str, folder: str) -> None:
    """Score every case with the public code in this process; see `exchange.Side`."""
    sys.path.insert(0, folder)
    supplied = Supplied()
    if method == "idkl" and not hasattr(np, "in1d"):
        supplied.note("numpy: in1d, by its new name isin")
        vars(np)["in1d"] = np.isin
    run = _idkl if method == "idkl" else _agw_family
    results = [run(case) for case in CASES[method]]
    desk.tell((results, supplied.lines))


def _agw_family(case: Case) -> dict[str, float]:
    """Score with `eval_sysu`, `eval_regdb` or `eval_llcm` of eval_metrics.py, as the test scripts call them."""
    metrics = importlib.import_module("eval_metrics")
    totals: list[Mapping[str, float]] = []
    for query, gallery in trials(case):
        pairs = zip(case.weights, query.parts, gallery.parts, strict=True)
        negative: Any = -sum(weight * a @ b.T for weight, a, b in pairs)
        if case.dataset == "regdb":
            curve, mean_ap, mean_inp = metrics.eval_regdb(negative, query.ids, gallery.ids)
        else:
            score = metrics.eval_sysu if case.dataset == "sysu" else metrics.eval_llcm
            curve, mean_ap, mean_inp = score(negative, query.ids, gallery.ids, query.cams, gallery.cams)
        ranks = {f"rank-{r}": float(curve[r - 1]) for r in RANKS}
        totals.append({**ranks, "mAP": float(mean_ap), "mINP": float(mean_inp)})
    return {name: 100 * float(np.mean([one[name] for one in totals])) for name in totals[0]}


def _idkl(case: Case) -> dict[str, float]:
    """Score with `eval_sysu`, `eval_regdb` or `eval_llcm` of IDKL's utils, which normalize and draw themselves."""
    protocol = PROTOCOLS[case.protocol]
    query_side, gallery_side = (INFRARED, VISIBLE) if protocol.direction == "i2v" else (VISIBLE, INFRARED)
    query, gallery = images(case, query_side), images(case, gallery_side)
    module = importlib.import_module(f"utils.eval_{case.dataset}")
    score: Callable[..., tuple[float, ...]] = getattr(module, f"eval_{case.dataset}")
    reranking: Any = importlib.import_module("utils.rerank")
    reranking.np = _Wide() if case.wide else np
    cameras = (_own_cameras(query, query_side, case), _own_cameras(gallery, gallery_side, case))
    # Features as the network returns them, in float64 to avoid rounding.
    arguments = (
        torch.from_numpy(query.parts[0]),
        query.ids.copy(),
        cameras[0],
        torch.from_numpy(gallery.parts[0]),
        gallery.ids.copy(),
        cameras[1],
        np.array([_path(gallery, n) for n in range(len(gallery.ids))]),
    )
    rerank = bool(case.refinement)
    if case.dataset == "sysu":
        found = score(
            *arguments, _permutations(), mode=protocol.mode, num_shots=protocol.shots, num_trials=TRIALS, rerank=rerank
        )
    else:
        found = score(*arguments, rerank=rerank)
    names = ("mAP", "rank-1", "rank-5", "rank-10", "rank-20")
    return {name: float(value) for name, value in zip(names, found, strict=True)}


class _Wide:
    """numpy, whose float16 is float64."""

    float16 = np.float64

    def __getattr__(self, name: str) -> Any:
        return getattr(np, name)


def _own_cameras(of: Images, modality: int, case: Case) -> Ints:
    """Return the cameras as IDKL's data sets number them: on RegDB and LLCM one of each modality."""
    return of.cams.copy() if case.dataset == "sysu" else np.full(len(of.ids), 2 + modality)


def _path(of: Images, row: int) -> str:
    # Images of an identity and camera are adjacent.
    return f"root/cam{of.cams[row]}/{of.ids[row]:04d}/{row % IMAGES + 1:04d}.jpg"


def _permutations() -> npt.NDArray[np.object_]:
    """Return the trials in the form of `rand_perm_cam.mat`: [camera - 1][0][identity - 1, 0][trial] from 1."""
    cells = np.empty((6, 1), object)
    for camera in range(1, 7):
        orders = np.empty((IDENTITIES, 1), object)
        for identity in range(1, IDENTITIES + 1):
            orders[identity - 1, 0] = shuffled(identity, camera) + 1
        cells[camera - 1, 0] = orders
    return cells


def apart(theirs: Mapping[str, float], own: Mapping[str, float]) -> float:
    """Return the largest difference of the scores that both sides have, in points; infinite if one is NaN."""
    differences = [abs(theirs[name] - own[name]) for name in theirs.keys() & own.keys()]
    return max((math.inf if math.isnan(one) else one for one in differences), default=math.inf)


def exact(case: Case) -> bool:
    """Return whether both sides must agree; if public code stores float16, only its float64 twin must."""
    return case.wide or not case.refinement


def title(case: Case) -> str:
    """Return the title of a case."""
    words = [case.protocol, str(case.refinement), "its float16 as float64" * case.wide, case.remark]
    return ", ".join(word for word in words if word)
