"""The test feature against the released formulas, through fast-reid's own flip test and our scoring."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from fastreid.evaluation import inference_on_dataset
from helpers import small_cfg
from torch import Tensor, nn

from vireid_plugins.data import build_test_loader
from vireid_plugins.data.batch import INFRARED, VISIBLE
from vireid_plugins.engine import Trainer
from vireid_plugins.errors import ConfigError
from vireid_plugins.evaluation.choices import METRICS
from vireid_plugins.evaluation.distances import cross_distances, squared_distances
from vireid_plugins.evaluation.evaluator import FeatureCollector
from vireid_plugins.evaluation.feature_table import FeatureTable, ImagesByModality
from vireid_plugins.modeling.heads import TestFeature, build_head


@pytest.fixture
def head() -> nn.Module:
    cfg = small_cfg("SYSU/agw.yml", "MODEL.HEADS.NUM_CLASSES", "5")
    head = build_head(cfg, 16).eval()
    norm: Any = head.bottleneck[0]
    norm.running_mean.normal_()
    return head


def test_test_feature_weighted_is_the_sum_of_cosines(head: nn.Module) -> None:
    maps = torch.rand(6, 16, 4, 2)
    found = TestFeature(pooled=0.1, neck=0.9).of(head, maps)
    pooled, neck = (F.normalize(x) for x in head.pooled_and_neck(maps))
    torch.testing.assert_close(found @ found.T, 0.1 * pooled @ pooled.T + 0.9 * neck @ neck.T)


def test_test_feature_alone_is_the_heads_own_output(head: nn.Module) -> None:
    maps = torch.rand(6, 16, 4, 2)
    assert torch.equal(TestFeature().of(head, maps), head(maps))
    torch.testing.assert_close(TestFeature(normalize=True).of(head, maps), F.normalize(head(maps)))


def test_test_feature_without_weights_is_an_error() -> None:
    with pytest.raises(ConfigError, match=r"TEST\.FEATURE: .* got 0\.0 and 0\.0"):
        TestFeature(0.0, 0.0)
    with pytest.raises(ConfigError, match=r"TEST\.FEATURE: .* got -1\.0"):
        TestFeature(-1.0, 2.0)


def test_test_feature_of_a_head_without_a_neck_is_an_error() -> None:
    cfg = small_cfg("SYSU/agw.yml", "MODEL.HEADS.NUM_CLASSES", "5", "MODEL.HEADS.NAME", "EmbeddingHead")
    cfg.MODEL.HEADS.POOL_LAYER = "GlobalAvgPool"
    with pytest.raises(ConfigError, match="EmbeddingHead does not provide a pooled and a BNNeck feature"):
        TestFeature(1.0, 1.0).of(build_head(cfg, 16).eval(), torch.rand(2, 16, 4, 2))


def similarities(model: Any, images: list[Tensor], modality: list[Tensor]) -> Tensor:
    """Mean over image and mirror image of the method's L2-normalized parts, and their inner products."""

    def parts(x: Tensor, modalities: Tensor) -> list[Tensor]:
        maps = model.extract(model.normalize(x), modalities, torch.zeros_like(modalities))
        (feature_map,) = maps.values()
        pooled, neck = model.heads["global"].pooled_and_neck(feature_map)
        return [
            F.normalize(rows)
            for rows in (*pooled.view(-1, len(x), pooled.shape[1]), *neck.view(-1, len(x), neck.shape[1]))
        ]

    found = []
    for x, modalities in zip(images, modality, strict=True):
        both = zip(parts(x, modalities), parts(x.flip(3), modalities), strict=True)
        found.append([(first + second) / 2 for first, second in both])
    return torch.stack([a @ b.T for a, b in zip(*found, strict=True)])


@pytest.mark.parametrize("method", ["caj", "deen"])
def test_test_feature_of_caj_and_deen_scores_as_the_released_sums(method: str, data_root: Path) -> None:
    """CAJ: normalized features are added, and their cosine is taken. DEEN: 0.1 and 0.9, and no cosine of the sum."""
    cfg = small_cfg(f"SYSU/{method}.yml", "MODEL.HEADS.NUM_CLASSES", "5")
    model = Trainer.build_model(cfg).eval()
    for norm in (m for m in model.modules() if isinstance(m, nn.modules.batchnorm._BatchNorm)):
        norm.running_mean.normal_(std=0.1)
        if norm.affine:
            norm.weight.data.uniform_(0.5, 1.5)
    loader: Any = build_test_loader(cfg, "SYSUMM01")[0]
    collector = FeatureCollector(loader.dataset.dataset)
    inference_on_dataset(model, loader, collector, flip_test=cfg.TEST.FLIP.ENABLED)
    table = FeatureTable(ImagesByModality(collector.dataset), np.concatenate(collector.features), collector.paths)
    cosine = cfg.TEST.METRIC == "cosine"
    ours = cross_distances(table.of(INFRARED, cosine)[:3], table.of(VISIBLE, cosine)[:5], cfg.TEST.METRIC)

    rows = {m: [collector.paths.index(path) for path in table.images.paths[m]] for m in (INFRARED, VISIBLE)}
    images = [loader.dataset.__getitems__(some)["images"] for some in (rows[INFRARED][:3], rows[VISIBLE][:5])]
    with torch.no_grad():
        theirs = similarities(model, images, [torch.full((3,), INFRARED), torch.full((5,), VISIBLE)])
    if method == "deen":
        pooled, neck = theirs[:3].sum(0), theirs[3:].sum(0)
        expected = 0.1 * pooled + 0.9 * neck
    else:
        with torch.no_grad():
            own = [
                similarities(model, [x, x], [torch.full((len(x),), m)] * 2)[1]
                for x, m in zip(images, (1, 0), strict=True)
            ]
        expected = theirs[1] / (own[0].diag()[:, None] * own[1].diag()).sqrt()
    np.testing.assert_allclose(ours, -expected, atol=2e-6)


@pytest.mark.parametrize("metric", METRICS)
def test_cross_distances_equal_loops(metric: str) -> None:
    rng = np.random.default_rng(0)
    left, right = rng.standard_normal((4, 7)), 3 * rng.standard_normal((5, 7))
    for i, row in enumerate(cross_distances(left, right, metric)):
        for j, value in enumerate(row):
            expected = ((left[i] - right[j]) ** 2).sum() if metric == "euclidean" else -(left[i] * right[j]).sum()
            np.testing.assert_allclose(value, expected, rtol=1e-12)


def test_squared_distances_equal_loops_and_have_a_zero_diagonal() -> None:
    rows = np.random.default_rng(0).standard_normal((5, 7))
    found = squared_distances(rows)
    np.testing.assert_allclose(found, ((rows[:, None] - rows) ** 2).sum(2), atol=1e-12)
    assert not found.diagonal().any()
