"""DEEN's two sums of cosines at test."""

import pytest
import torch
import torch.nn.functional as F
from fastreid.modeling.meta_arch import build_model
from helpers import small_cfg


@pytest.mark.parametrize("config", ["SYSU/deen.yml", "RegDB/deen.yml"])
@pytest.mark.parametrize("weights", [(0.1, 0.9), (1.0, 1.0)])
def test_deen_embed_equals_released_weighted_and_equal_sums(config: str, weights: tuple[float, float]) -> None:
    """The code prints both; the inner product of two images' features is a sum of six cosines."""
    overrides = ["TEST.FEATURE.POOLED_WEIGHT", str(weights[0]), "TEST.FEATURE.NECK_WEIGHT", str(weights[1])]
    torch.manual_seed(0)
    model = build_model(small_cfg(config, "MODEL.HEADS.NUM_CLASSES", "4", *overrides)).eval()
    head = model.heads["global"]
    head.bottleneck[0].running_mean.normal_()
    images, modalities = torch.rand(3, 3, 64, 32), torch.tensor([0, 1, 1])
    with torch.no_grad():
        maps = model.extract(images, modalities, torch.zeros_like(modalities))
        feature = model.embed(maps, modalities)
        pooled = head.pool_layer(maps["expanded"])
        kinds = (pooled[..., 0, 0], head.bottleneck(pooled)[..., 0, 0])
    expected = torch.zeros(3, 3)
    for weight, rows in zip(weights, kinds, strict=True):
        for embedding in range(3):
            # Rows of the expansion: the originals, the first branches, the second branches.
            own = rows[3 * embedding : 3 * embedding + 3]
            for i in range(3):
                expected[i] += weight * F.cosine_similarity(own[i : i + 1], own)
    torch.testing.assert_close(feature @ feature.T, expected, rtol=1e-5, atol=1e-5)
