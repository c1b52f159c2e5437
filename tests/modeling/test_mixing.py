"""Backbones x streams x attention x heads x losses: every choice is built, takes a step and is scored.

`make test-all` does so with every pair of choices.
"""

from itertools import combinations
from math import gcd, lcm
from typing import Any

import pytest
import torch
from fastreid.modeling.meta_arch import build_model
from helpers import DEPTHS, batch, small_cfg

from vireid_plugins.errors import ConfigError

Choice = dict[str, Any]

# The ViT is mixed in test_vit, since ten choices have a common divisor with others.
BACKBONES: list[Choice] = [
    {"MODEL.STREAMS.BACKBONE": name, "MODEL.BACKBONE.DEPTH": depth}
    for name, depth in DEPTHS.items()
    if name != "build_vit_backbone"
]
STREAMS: list[Choice] = [
    {"MODEL.STREAMS.COUNT": count, "MODEL.STREAMS.SEPARATE_STAGES": separate}
    for count, separate in ((1, 0), (2, 0), (2, 1), (4, 0))
]
# The smallest networks have 4 and 12 channels, and the last maps of some are 2 x 1.
MIIM = {
    "MODEL.ATTENTION.MIIM.REDUCTION": [1, 1, 1, 1],
    "MODEL.ATTENTION.MIIM.HEADS": 4,
    "MODEL.ATTENTION.MIIM.KV_POOL": 1,
}
ATTENTION: list[Choice] = [
    {},
    {"MODEL.ATTENTION.STAGE2": ["NonLocal"]},
    {"MODEL.ATTENTION.STAGE3": ["MIIM"], **MIIM},
    {"MODEL.ATTENTION.STAGE4": ["Purifier"]},
    {"MODEL.ATTENTION.STAGE1": ["NonLocal@0"], "MODEL.ATTENTION.STAGE2": ["MIIM"], **MIIM},
]
# fast-reid's poolings and margins, in its own head and in ours.
HEADS: list[Choice] = [
    {"MODEL.HEADS.NAME": name, "MODEL.HEADS.POOL_LAYER": pooling, "MODEL.HEADS.CLS_LAYER": margin, **more}
    for name, pooling, margin, more in (
        ("EmbeddingHead", "GlobalAvgPool", "Linear", {}),
        ("EmbeddingHead", "GlobalMaxPool", "ArcSoftmax", {"MODEL.HEADS.NECK_FEAT": "after"}),
        ("EmbeddingHead", "GeneralizedMeanPooling", "CosSoftmax", {}),
        ("EmbeddingHead", "AdaptiveAvgMaxPool", "CircleSoftmax", {"MODEL.HEADS.EMBEDDING_DIM": 32}),
        ("EmbeddingHead", "ClipGlobalAvgPool", "Linear", {"MODEL.HEADS.WITH_BNNECK": False}),
        ("BranchHead", "GlobalAvgPool", "Linear", {}),
        ("BranchHead", "GeneralizedMeanPoolingP", "ArcSoftmax", {}),
        ("BranchHead", "FastGlobalAvgPool", "CosSoftmax", {}),
        ("BranchHead", "GeMAdd", "CircleSoftmax", {}),
        ("BranchHead", "GlobalMaxPool", "Linear", {"MODEL.HEADS.EMBEDDING_DIM": 32}),
        ("BranchHead", "AdaptiveAvgMaxPool", "Linear", {}),
    )
]
LOSSES: list[Choice] = [
    {"MODEL.LOSSES.NAME": ["CrossEntropyLoss", "TripletLoss"]},
    {"MODEL.LOSSES.NAME": ["CrossEntropyLoss", "CircleLoss"]},
    {"MODEL.LOSSES.NAME": ["LabelSmoothCE", "Cosface"]},
    {"MODEL.LOSSES.NAME": ["LabelSmoothCE", "CMKIC", "CircleLoss"], "MODEL.HEADS.PROJECTION_DIM": 16},
    {"MODEL.LOSSES.NAME": ["LabelSmoothCE", "WeightedTriplet", "HeteroCenter"]},
    {"MODEL.LOSSES.NAME": ["LabelSmoothCE", "HardTriplet", "QCT"]},
    {"MODEL.LOSSES.NAME": ["CrossEntropyLoss", "SquaredDifferenceTriplet", "ICG"]},
]
FACTORS = [BACKBONES, STREAMS, ATTENTION, HEADS, LOSSES]
# Row i takes choice i mod n of every factor. Where the numbers of choices have no common divisor, a row number below
# the product of two of them is one pair of choices, so this many rows have every pair.
ROWS = max(len(a) * len(b) for a, b in combinations(FACTORS, 2))
# So many rows one after the other have every choice.
FAST = max(map(len, FACTORS))


def chosen(row: int) -> Choice:
    found: Choice = {}
    for factor in FACTORS:
        found |= factor[row % len(factor)]
    return found


def test_mixing_rows_have_every_choice_and_every_pair() -> None:
    assert all({row % len(factor) for row in range(FAST)} == set(range(len(factor))) for factor in FACTORS)
    for a, b in combinations(map(len, FACTORS), 2):
        assert gcd(a, b) == 1
        assert len({(row % a, row % b) for row in range(ROWS)}) == lcm(a, b) == a * b


@pytest.mark.parametrize(
    "row", [pytest.param(row, marks=[pytest.mark.slow] if row >= FAST else []) for row in range(ROWS)]
)
def test_build_model_of_a_mix_takes_a_step_and_is_scored(row: int) -> None:
    choice = chosen(row)
    overrides = [text for key, value in choice.items() for text in (key, str(value))]
    cfg = small_cfg("SYSU/one_stream.yml", *overrides, "MODEL.HEADS.NUM_CLASSES", "4")
    model = build_model(cfg).train()
    views = 2 if choice["MODEL.STREAMS.COUNT"] == 4 else 1
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-4)
    losses = model(batch(4, 2, views=(views, views)))
    assert len(losses) == len(choice["MODEL.LOSSES.NAME"])
    sum(losses.values()).backward()
    assert not [key for key, p in model.named_parameters() if p.requires_grad and p.grad is None]
    before = [p.detach().clone() for p in model.parameters()]
    optimizer.step()
    moved = [not torch.equal(p, q) for p, q in zip(model.parameters(), before, strict=True)]
    assert sum(moved) > 0.5 * len(moved)
    features = model.eval()(batch(2, 1))
    assert features.shape == (4, choice.get("MODEL.HEADS.EMBEDDING_DIM") or model.backbone.channels["stage4"])
    assert torch.isfinite(features).all()


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["MODEL.HEADS.POOL_LAYER", "GeM"], r"POOL_LAYER: unknown value 'GeM'; available: .*GeneralizedMeanPooling"),
        (["MODEL.HEADS.NAME", "EmbeddingHead", "MODEL.HEADS.POOL_LAYER", "GeMAdd"], "unknown value 'GeMAdd'"),
        (["MODEL.HEADS.CLS_LAYER", "ArcFace"], r"CLS_LAYER: unknown value 'ArcFace'; available: ArcSoftmax"),
        (["MODEL.HEADS.NECK_FEAT", "behind"], r"NECK_FEAT: unknown value 'behind'; available: after, before"),
    ],
    ids=["pooling", "pooling-of-the-other-head", "margin", "feature"],
)
def test_build_model_of_a_part_that_does_not_exist_is_one_error(overrides: list[str], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        build_model(small_cfg("SYSU/one_stream.yml", *overrides))
