"""t-SNE, distances, Grad-CAM, curves: what they compute, and that they are drawn."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from fastreid.modeling.meta_arch import build_model
from helpers import ROOT, small_cfg
from PIL import Image

from vireid_plugins import visualize
from vireid_plugins.data.datasets import SYSUMM01
from vireid_plugins.errors import ConfigError, DataError, InstallError
from vireid_plugins.evaluation import EvaluationPlan
from vireid_plugins.visualize import Extraction, Separation, Style
from vireid_plugins.visualize._mpl import matplotlib, require_format, save
from vireid_plugins.visualize.embedding_map import MapPoint, project
from vireid_plugins.visualize.grad_cam import choose_pairs
from vireid_plugins.visualize.pair_sheet import overlay
from vireid_plugins.visualize.style import BLUE

METHODS = sorted(f"SYSU/{file.name}" for file in (ROOT / "configs" / "SYSU").glob("*.yml"))


@pytest.fixture
def found(tree: Path) -> Extraction:
    """Features that say the identity, with noise."""
    dataset = SYSUMM01(root=str(tree))
    items = [*dataset.query, *dataset.gallery]
    identities = np.array([item[1] for item in items])
    rng = np.random.default_rng(0)
    features = np.eye(identities.max() + 1)[identities] + 0.2 * rng.standard_normal((len(items), identities.max() + 1))
    return Extraction(EvaluationPlan(dataset, []), features, [dataset.relative(item) for item in items])


def test_separation_counts_distances_pair_by_pair(found: Extraction) -> None:
    one = visualize.separation(found)
    labels, matrices = found.images.labels, found.matrices
    apart: dict[bool, list[float]] = {True: [], False: []}
    for v, vector in enumerate(matrices[0]):
        for i, other in enumerate(matrices[1]):
            apart[bool(labels[0].ids[v] == labels[1].ids[i])].append(1 - float(vector @ other))
    assert one.intra_mean == pytest.approx(np.mean(apart[True]))
    assert one.inter_mean == pytest.approx(np.mean(apart[False]))
    assert one.intra_mean < one.inter_mean
    for density, values in ((one.intra, apart[True]), (one.inter, apart[False])):
        np.testing.assert_allclose(density, np.histogram(values, one.edges, density=True)[0])
    shares = [np.histogram(apart[same], one.edges)[0] / len(apart[same]) for same in (True, False)]
    assert one.overlap == pytest.approx(sum(min(pair) for pair in zip(*shares, strict=True)))
    assert 0 < one.overlap < 1
    figure = visualize.draw_separation([("baseline", one), ("method", one)])
    assert [axes.get_title().split("\n")[0] for axes in figure.axes] == ["baseline", "method"]
    assert all(f"overlap {one.overlap:.1%}" in axes.get_title() for axes in figure.axes)


@pytest.mark.parametrize(
    ("intra", "inter", "overlap"), [([1, 0], [0, 1], 0), ([1, 0], [1, 0], 1), ([1, 0], [0.5, 0.5], 0.5)]
)
def test_separation_overlap_of_known_densities(intra: list[float], inter: list[float], overlap: float) -> None:
    one = Separation(np.array([0.0, 1.0, 2.0]), np.array(intra, float), np.array(inter, float), 0, 1)
    assert one.overlap == overlap


def test_embedding_map_keeps_identities_together_and_repeats(found: Extraction) -> None:
    points = visualize.embedding_map(found, identities=4, images=3)
    assert {point.identity for point in points} <= set(found.images.labels[0].ids.tolist())
    assert len({point.identity for point in points}) == 4
    assert {point.modality for point in points} == {0, 1}
    assert points == visualize.embedding_map(found, identities=4, images=3)
    for point in points:
        assert int(point.path.split("/")[1]) == point.identity
    places = np.array([(point.x, point.y) for point in points])
    distance = np.linalg.norm(places[:, None] - places, axis=-1) + 1e9 * np.eye(len(points))
    same = [points[n].identity == points[m].identity for n, m in enumerate(distance.argmin(1))]
    assert np.mean(same) > 0.9
    figure = visualize.draw_embedding_map(points)
    names = [text.get_text() for text in figure.legends[0].get_texts()]
    assert names == ["visible", "infrared", *(str(one) for one in sorted({point.identity for point in points}))]
    assert len(figure.axes[0].collections) == 8


def test_draw_embedding_map_of_many_identities_gives_each_its_look_until_none_is_left() -> None:
    points = [MapPoint(n, n, n, n % 2, "") for n in range(21)]
    figure = visualize.draw_embedding_map(points)
    looks = [tuple(map(tuple, (*one.get_edgecolors(), *one.get_facecolors()))) for one in figure.axes[0].collections]
    assert len({look for look in looks if look}) == 21
    assert len(figure.legends[0].get_texts()) == 2 + 21
    more = visualize.draw_embedding_map([*points, MapPoint(0, 0, 21, 0, "")])
    assert [text.get_text() for text in more.legends[0].get_texts()] == ["visible", "infrared"]


def test_project_of_three_images_is_refused() -> None:
    with pytest.raises(DataError, match="at least four images"):
        project(np.eye(3))


class Halves(torch.nn.Module):
    """A network of one channel that is bright where the image is, and a feature that looks at it."""

    def normalize(self, images: torch.Tensor) -> torch.Tensor:
        return images.float() / 255

    def extract(self, images: torch.Tensor, modalities: Any, views: Any) -> dict[str, torch.Tensor]:
        return {"stage4": torch.nn.functional.avg_pool2d(images[:, :1], 4).requires_grad_()}

    def embed(self, maps: dict[str, torch.Tensor], modalities: Any) -> torch.Tensor:
        bright = maps["stage4"].mean((2, 3))
        return torch.cat([bright, torch.full_like(bright, 0.2)], 1)


def test_pair_maps_are_hot_where_the_match_is_from() -> None:
    images = np.zeros((2, 16, 8, 3), np.uint8)
    images[0, :8] = 250
    images[1, 8:] = 120
    pair = visualize.pair_maps(Halves(), *images)
    assert pair.visible_map.shape == (16, 8)
    assert pair.infrared_map[12:].min() > 0.9
    assert pair.infrared_map[:4].max() == 0
    assert 0 < pair.cosine < 1
    painted = np.asarray(overlay(images[1], pair.infrared_map)).astype(int)
    assert painted[14, 4, 0] > painted[14, 4, 2]
    assert painted[1, 4, 2] > painted[1, 4, 0]


@pytest.mark.parametrize("config", METHODS)
def test_pair_maps_of_every_method_run_from_zero_to_one(config: str) -> None:
    model = build_model(small_cfg(config, "MODEL.HEADS.NUM_CLASSES", "4")).eval()
    images = np.random.default_rng(0).integers(0, 256, (2, 64, 32, 3), dtype=np.uint8)
    pair = visualize.pair_maps(model, *images)
    for heat in (pair.visible_map, pair.infrared_map):
        assert heat.shape == (64, 32)
        assert np.isfinite(heat).all()
        assert heat.min() >= 0
        assert heat.max() == pytest.approx(1, abs=1e-5)
        assert heat.min() == pytest.approx(0, abs=1e-5)
    assert -1.001 <= pair.cosine <= 1.001


@pytest.mark.usefixtures("data_root")
def test_pairs_of_a_trained_model_are_as_many_as_asked_for(trained: Path) -> None:
    pairs = visualize.pairs_of(small_cfg("SYSU/wrim.yml", "OUTPUT_DIR", str(trained)), 2)
    assert len(pairs) == 2
    figure = visualize.draw_pairs(pairs)
    assert len(figure.axes[0].images) == 2 * 4 + 1
    words = [text.get_text() for text in figure.axes[0].texts]
    assert {"least", "most", "visible", "infrared", f"cosine\n{pairs[0].cosine:.2f}"} <= set(words)
    beside = visualize.draw_pairs([*pairs, *pairs], Style(width=8), ["a", "b"])
    assert 7.8 < 2.54 * beside.get_figwidth() <= 8
    assert [text.get_text() for text in beside.axes[0].texts].count("b") == 2
    with pytest.raises(ConfigError, match=r"--width: in 3\.0 cm, images are at most \d\.\d mm wide"):
        visualize.draw_pairs(pairs, Style(width=3))


def test_figures_of_modalities_without_an_identity_in_common_name_the_set(tree: Path) -> None:
    dataset = SYSUMM01(root=str(tree))
    first = dataset.query[0][1]
    dataset._query = [item for item in dataset.query if item[1] == first]
    dataset._gallery = [item for item in dataset.gallery if item[1] != first]
    message = "no test identity of SYSUMM01 has images of both modalities"
    with pytest.raises(DataError, match=message):
        choose_pairs(dataset, 1)
    items = [*dataset.query, *dataset.gallery]
    paths = [dataset.relative(item) for item in items]
    found = Extraction(EvaluationPlan(dataset, []), np.ones((len(items), 2)), paths)
    with pytest.raises(DataError, match=message):
        visualize.embedding_map(found)


def test_choose_pairs_by_identity_path_and_seed(tree: Path) -> None:
    dataset = SYSUMM01(root=str(tree))
    path, identity, _ = dataset.query[3]
    for word in (dataset.relative(dataset.query[3]), path):
        visible, infrared = choose_pairs(dataset, 1, wanted=[word])[0]
        assert infrared == path
        assert Path(visible).parent.name == Path(path).parent.name
    assert {Path(one).parent.name for one in choose_pairs(dataset, 1, wanted=[str(identity)])[0]} == {f"{identity:04d}"}
    assert choose_pairs(dataset, 3, seed=1) == choose_pairs(dataset, 3, seed=1)
    assert choose_pairs(dataset, 3, seed=1) != choose_pairs(dataset, 3, seed=2)
    with pytest.raises(ConfigError, match="--query: 'nobody' is no test image of SYSUMM01"):
        choose_pairs(dataset, 1, wanted=["nobody"])


def test_read_metrics_of_a_run_with_old_and_new_names_is_one_curve_per_loss(tmp_path: Path) -> None:
    rows = [{"iteration": 1, "loss_wrt": 2.0, "loss_sp_ce": 1.0}, {"iteration": 2, "loss_weighted_triplet": 1.5}]
    (tmp_path / "metrics.json").write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    assert visualize.training_curves.read_metrics(tmp_path / "metrics.json") == {
        "loss_weighted_triplet": [(1, 2.0), (2, 1.5)],
        "loss_sp_label_smooth_ce": [(1, 1.0)],
    }


def test_panels_of_clusters_name_their_curves_by_what_was_clustered() -> None:
    names = ["clusters_visible", "clusters_infrared", "noise_visible", "nmi_across", "purity_visible", "ari_visible"]
    found = {one["name"]: one["curves"] for one in visualize.training_curves.panels({key: [(1, 2.0)] for key in names})}
    assert [curve["name"] for curve in found["clusters"]] == ["visible", "infrared"]
    assert [curve["name"] for curve in found["NMI of clusters"]] == ["across"]
    assert set(found) == {
        *("clusters", "noise, share", "purity of clusters", "NMI of clusters", "ARI of clusters"),
    }


def test_panels_give_a_modality_one_look_in_all_of_them() -> None:
    """Names are written in alphabetical order, and some panels have a curve more in front."""
    names = (
        *("loss_infrared", "loss_visible", "total_loss", "clusters_across", "clusters_infrared", "clusters_visible"),
        *("noise_infrared", "noise_visible", "b/mAP", "a/mAP", "a/Rank-1", "a/TPIR@FPIR=1%"),
    )
    panels = visualize.training_curves.panels({key: [(1, 2.0)] for key in names})
    looks = [(one["name"].removeprefix("loss_"), one["look"]) for panel in panels for one in panel["curves"]]
    for name, look in (("visible", 0), ("infrared", 1), ("total_loss", 2), ("across", 2), ("a", 0), ("b", 1)):
        assert {found for told, found in looks if told == name} == {look}
    figure = visualize.draw_training({key: [(1, 2.0)] for key in names})
    colors = {line.get_color() for axes in figure.axes for line in axes.lines if line.get_label() == "visible"}
    assert colors == {BLUE}


def test_read_run_gives_curves_that_draw_training_draws(trained: Path, tmp_path: Path) -> None:
    curves = visualize.read_run(trained)
    results = json.loads((trained / "evaluation.json").read_text())["results"]
    protocols = [one["protocol"] for one in results]
    assert len(protocols) == 4
    assert {"total_loss", "lr", "loss_label_smooth_ce", *(f"{name}/mAP" for name in protocols)} <= set(curves)
    for one in results:
        name = f"{one['protocol']}/Rank-1"
        assert curves[name] == [(curves[name][0][0], pytest.approx(one["mean"]["Rank-1"]))]
    panels = {panel["name"]: panel["curves"] for panel in visualize.training_curves.panels(curves)}
    assert list(panels)[:2] == ["losses", "learning rate"]
    assert [curve["name"] for curve in panels["mAP, percent"]] == protocols
    save(visualize.draw_training(curves, "run"), tmp_path / "deep" / "curves.png")
    assert Image.open(tmp_path / "deep" / "curves.png").width > 500
    torn = tmp_path / "metrics.json"
    torn.write_text(json.dumps({"iteration": 3, "total_loss": 1.5}) + '\n{"iteration": 4, "total_l')
    assert visualize.read_metrics(torn) == {"total_loss": [(3, 1.5)]}
    with pytest.raises(DataError, match="training writes it to the run's OUTPUT_DIR"):
        visualize.read_metrics(tmp_path / "none.json")
    torn.write_text("")
    with pytest.raises(DataError, match="contains no metrics yet"):
        visualize.read_metrics(torn)


def test_read_run_of_an_earlier_release_names_its_scores_by_the_first_protocol(tmp_path: Path) -> None:
    rows = [{"iteration": 4, "mAP": 20.0, "metric": 19.0}, {"iteration": 9, "total_loss": 1.0}]
    (tmp_path / "metrics.json").write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    means = {"regdb/v2i": {"mAP": 30.0}, "regdb/i2v": {"mAP": 25.0}}
    results = [{"protocol": name, "mean": mean} for name, mean in means.items()]
    (tmp_path / "evaluation.json").write_text(json.dumps({"results": results}))
    assert visualize.read_run(tmp_path) == {
        "total_loss": [(9, 1.0)],
        "metric": [(4, 19.0)],
        "regdb/v2i/mAP": [(4, 20.0), (9, 30.0)],
        "regdb/i2v/mAP": [(9, 25.0)],
    }


@pytest.mark.parametrize("value", ["NaN", "Infinity", "-Infinity", "1e999", "null", "true", '"text"', "[1]"])
def test_read_metrics_leaves_out_what_cannot_be_drawn(tmp_path: Path, value: str) -> None:
    """Python writes and reads NaN, which is no JSON: a browser would refuse the whole report."""
    lines = ['{"iteration": 1, "total_loss": 2.0}', f'{{"iteration": 2, "total_loss": {value}, "lr": {value}}}']
    lines += [f'{{"iteration": {value}, "total_loss": 3.0}}', "[1, 2]", "7"]
    (tmp_path / "metrics.json").write_text("\n".join(lines))
    assert visualize.read_metrics(tmp_path / "metrics.json") == {"total_loss": [(1, 2.0)]}


@pytest.mark.parametrize("content", ["", "[]", '{"results": []}', '{"results": [{"mean": 3}]}', "\udcff"])
def test_read_run_with_scores_that_are_torn_is_one_error(tmp_path: Path, content: str) -> None:
    (tmp_path / "metrics.json").write_text('{"iteration": 1, "total_loss": 2.0}')
    (tmp_path / "evaluation.json").write_bytes(content.encode(errors="surrogateescape"))
    with pytest.raises(DataError, match=r"evaluation\.json' has no scores"):
        visualize.read_run(tmp_path)


def test_save_of_photographs_says_that_a_page_holds_pixels(tmp_path: Path) -> None:
    picture = Image.new("RGB", (20, 10))
    assert [save(picture, tmp_path / f"a.{name}") for name in ("png", "jpg", "JPEG")] == ["", "", ""]
    assert "one JPEG picture" in save(picture, tmp_path / "a.pdf")
    require_format("--output", Path("a.svg"))
    with pytest.raises(ConfigError, match=r"'a\.svg' must end in .*; it is made of photographs"):
        require_format("--output", Path("a.svg"), vector=False)


def test_require_format_refuses_a_name_that_no_picture_can_have() -> None:
    for name in ("a.png", "a.JPG", "a.pdf"):
        require_format("--output", Path(name))
    with pytest.raises(ConfigError, match=r"--output: 'a\.svgz' must end in \.png, \.jpg, \.jpeg, \.pdf"):
        require_format("--output", Path("a.svgz"))


def test_matplotlib_that_is_missing_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "matplotlib.figure", None)
    with pytest.raises(InstallError, match="pip install matplotlib"):
        matplotlib("figure")
