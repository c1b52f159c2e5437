"""A self-contained HTML report of an experiment, which opens from disk without network access, also on a phone.

It has scores, CMC curves, rank lists with paging and filters for failures, distances (optionally next to a baseline's),
t-SNE, training curves, the configuration and the environment. The page is `report.html`, filled in with one JSON value.
"""

import base64
import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from fastreid.config import CfgNode
from PIL import Image

from vireid_plugins.collect_env import described
from vireid_plugins.data.decode import read_image
from vireid_plugins.data.thermal import DEFAULT, Stretch, stretch_of
from vireid_plugins.engine.runs import run_folder, run_title
from vireid_plugins.evaluation.choices import METRICS
from vireid_plugins.evaluation.evaluate import score
from vireid_plugins.evaluation.results import ProtocolResult, result_cells
from vireid_plugins.io.files import json_text, write_bytes, write_or_keep
from vireid_plugins.visualize.confusions import Confusion, HardQuery, confusions, hardest
from vireid_plugins.visualize.distances import Separation, separation
from vireid_plugins.visualize.embedding_map import embedding_map
from vireid_plugins.visualize.rank_lists import RankList
from vireid_plugins.visualize.ranking import RankedTrial, choose, rank_trial
from vireid_plugins.visualize.report_facts import facts
from vireid_plugins.visualize.retrieve import Extraction, extract
from vireid_plugins.visualize.training_curves import panels, read_run

TEMPLATE = Path(__file__).with_suffix(".html")
THUMBNAIL = (128, 64)
RANKS = 20
HARDEST = 12
# What the first match is counted in, by a protocol's `cmc`.
COUNTED = {
    "distinct_id": "distinct identities: several images of one wrong person ahead of the first match count once",
    "ordinary": "images: every wrong image ahead of the first match counts",
}


def build_report(
    cfg: CfgNode, beside: tuple[str, CfgNode] | None = None, queries: int = 60, top: int = 10
) -> dict[str, Any]:
    """Return the content of the page as JSON values.

    Args:
        cfg: configuration of a trained model; its first test set is used.
        beside: name and configuration of a baseline whose distances are drawn next to the model's.
        queries: number of rank lists, spread evenly over the queries.
        top: length of a rank list.

    Raises:
        ConfigError: there is no checkpoint.
        DataError: a checkpoint or the data set cannot be read.
    """
    test = extract(cfg)
    name = run_title(cfg)
    results = score(test.features, test.paths, test.plan, device=cfg.MODEL.DEVICE, metric=test.metric)
    trial = rank_trial(test, test.plan.protocols[0])
    lists = [trial.list_of(row, top) for row in choose(trial, queries)]
    hard, confused = [_hard(trial, one) for one in hardest(trial, HARDEST)], confusions(trial)
    points = embedding_map(test)
    rows = [(name, separation(test))]
    if beside is not None:
        rows.insert(0, (beside[0], separation(extract(beside[1]))))
    shown = [path for one in lists for path in (one.query, *one.gallery)]
    shown += [test.dataset.folder / path for path in (*(point.path for point in points), *_images(hard))]
    shown += [test.dataset.folder / path for one in confused for path in _pair(trial, one)]
    metrics = run_folder(cfg) / "metrics.json"
    return {
        "title": f"{name} on {test.dataset.title}",
        "facts": facts(cfg, test),
        "scores": _scores(results, test.metric, bool(cfg.TEST.FLIP.ENABLED)),
        "cmc": [{"name": r.label, "values": _curve(r)} for r in results],
        "counted": {"first": COUNTED[trial.protocol.cmc], "distinct": trial.protocol.cmc == "distinct_id"},
        "lists": {"protocol": trial.protocol.name, "queries": [_list(test, one) for one in lists]},
        "hardest": hard,
        "confusions": [{**one._asdict(), "images": _pair(trial, one)} for one in confused],
        "distances": [_distances(label, one) for label, one in rows],
        "tsne": [point._asdict() for point in points],
        "training": panels(read_run(metrics.parent)) if metrics.is_file() else [],
        "images": {_key(test, path): thumbnail(path, stretch=stretch_of(cfg)) for path in dict.fromkeys(shown)},
        "config": cfg.dump(),
        "environment": described(),
    }


def write_report(report: dict[str, Any], file: Path) -> None:
    """Write the page. Every "<" in the data is escaped, so that no text can close the page's script element."""
    value = json_text(report).replace("<", "\\u003c")
    page = TEMPLATE.read_text(encoding="utf-8").replace("{{DATA}}", value).encode(errors="backslashreplace")
    write_or_keep(file, lambda target: write_bytes(target, page))


def thumbnail(path: Path, size: Sequence[int] = THUMBNAIL, stretch: Stretch = DEFAULT) -> str:
    """Return a small JPEG of an image as a data URI."""
    stream = io.BytesIO()
    Image.fromarray(read_image(str(path), size, stretch=stretch)).save(stream, "JPEG", quality=75)
    return "data:image/jpeg;base64," + base64.b64encode(stream.getvalue()).decode("ascii")


def _key(test: Extraction, path: Path) -> str:
    return path.relative_to(test.dataset.folder).as_posix()


def _scores(results: Sequence[ProtocolResult], metric: str, flip: bool) -> dict[str, Any]:
    headers, rows = result_cells(results)
    how = f"{METRICS[metric]}, no re-ranking, flip {'on' if flip else 'off'}"
    note = f"{how[0].upper()}{how[1:]}; percent, mean ± standard deviation over trials."
    return {"headers": headers, "rows": [[str(cell) for cell in row] for row in rows], "note": note}


def _curve(result: ProtocolResult) -> list[float]:
    length = min(RANKS, min(len(ranking.cmc) for ranking in result.rankings))
    mean = np.mean([ranking.cmc[:length] for ranking in result.rankings], axis=0)
    return [round(100 * float(value), 2) for value in mean]


def _list(test: Extraction, one: RankList) -> dict[str, Any]:
    return {
        "query": _key(test, one.query),
        "gallery": [_key(test, path) for path in one.gallery],
        "right": one.right,
        "hidden": one.hidden,
        "distances": [round(d, 4) for d in one.distances],
        "first": one.first,
        "precision": round(one.precision, 4),
    }


def _hard(trial: RankedTrial, one: HardQuery) -> dict[str, Any]:
    wrong = [{"image": trial.gallery_paths[n], "identity": int(trial.gallery.ids[n])} for n in one.wrong]
    return {
        "query": trial.query_paths[one.row],
        "identity": int(trial.query.ids[one.row]),
        "precision": round(float(trial.precision[one.row]), 4),
        "wrong": wrong,
        "match": trial.gallery_paths[one.match],
        "position": one.position,
    }


def _images(hard: Sequence[dict[str, Any]]) -> list[str]:
    return [path for one in hard for path in (one["query"], one["match"], *(w["image"] for w in one["wrong"]))]


def _pair(trial: RankedTrial, one: Confusion) -> list[str]:
    return [trial.query_paths[one.row], trial.gallery_paths[one.column]]


def _distances(name: str, one: Separation) -> dict[str, Any]:
    columns = {key: [round(float(v), 4) for v in getattr(one, key)] for key in ("edges", "intra", "inter")}
    return {"name": name, **columns, "intra_mean": one.intra_mean, "inter_mean": one.inter_mean, "overlap": one.overlap}
