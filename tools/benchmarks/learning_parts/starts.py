"""What training starts from: a network, its weights and its image size."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from learning_parts.variants import (
    LABELS_OR_CLUSTERS,
    METHODS,
    OF_IDKL,
    OF_MPANET,
    OF_SAAI,
    OF_WRIM,
    VITS,
    Variant,
)


@dataclass(frozen=True)
class Start:
    """What training starts from.

    Attributes:
        about: network, weights and image size in words.
        overrides: overrides of the demo's configurations, for every run.
        forced: by demo configuration, overrides that the network's widths or the sizes of its feature maps force. The
            rows state them.
        weights: start from ImageNet weights, from the package `weights.PACKAGE`.
        variants: the variants that are run, the methods first.
    """

    about: str
    overrides: tuple[str, ...]
    forced: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    weights: bool = False
    variants: tuple[Variant, ...] = (*METHODS, *OF_WRIM, *OF_IDKL)


# MobileNetV2 has three blocks in stage 2 and seven in stage 3, ResNet-18 two and two: non-local blocks come after the
# last ones, as in ResNet-50.
_LAST_OF_MOBILENET = (
    "MODEL.ATTENTION.STAGE2", "['NonLocal@1', 'NonLocal@2']",
    "MODEL.ATTENTION.STAGE3", "['NonLocal@4', 'NonLocal@5', 'NonLocal@6']",
)  # fmt: skip
_LAST_OF_RESNET = ("MODEL.ATTENTION.STAGE2", "['NonLocal@1']", "MODEL.ATTENTION.STAGE3", "['NonLocal@0', 'NonLocal@1']")
_ALL_KEYS = ("MODEL.ATTENTION.MIIM.KV_POOL", "1")
_MOBILENET = Start(
    "MobileNetV2 from ImageNet weights, 128 x 64, Adam at 0.001",
    (
        "MODEL.STREAMS.BACKBONE", "build_mobilenetv2_backbone", "MODEL.BACKBONE.DEPTH", "1.0x",
        "INPUT.SIZE_TRAIN", "[128, 64]", "INPUT.SIZE_TEST", "[128, 64]",
    ),
    {
        "agw": _LAST_OF_MOBILENET, "caj": _LAST_OF_MOBILENET,
        # The stem's feature map is eight times as high as that of stage 3, and the blocks expect four times; stage 3
        # has 8 x 4 positions.
        "mscm": (
            *_LAST_OF_MOBILENET, "MODEL.MSCM.RELATE", "['stage1', 'stage2', 'stage3']", "MODEL.MSCM.HEAD_DIM", "8"
        ),
        # Tokens have 12, 16, 24 and 320 dimensions.
        "wrim": ("MODEL.ATTENTION.MIIM.HEADS", "4", *_ALL_KEYS),
    },
    weights=True,
    variants=(*METHODS, *OF_WRIM, *OF_IDKL, *OF_MPANET, *OF_SAAI),
)  # fmt: skip
# Learning from labels, or from clusters.
LABELS = "ImageNet, labels or clusters"
VIT = "random ViT"
STARTS = {
    "ImageNet": _MOBILENET,
    # The demo's learning rate is three times the recipe's, and too high for some methods.
    "ImageNet, low rate": replace(
        _MOBILENET,
        about="MobileNetV2 from ImageNet weights, 128 x 64, Adam at 0.0003",
        overrides=(*_MOBILENET.overrides, "SOLVER.BASE_LR", "0.0003"),
        variants=METHODS,
    ),
    LABELS: replace(
        _MOBILENET,
        about="MobileNetV2 from ImageNet weights, 96 x 48, Adam at 0.001",
        # The size of the synthetic images, at which a step takes half as long.
        overrides=(*_MOBILENET.overrides, "INPUT.SIZE_TRAIN", "[96, 48]", "INPUT.SIZE_TEST", "[96, 48]"),
        forced={"pgm": _LAST_OF_MOBILENET},
        variants=LABELS_OR_CLUSTERS,
    ),
    "random": Start(
        "ResNet-18 from random weights, 64 x 32, Adam at 0.001",
        ("INPUT.SIZE_TRAIN", "[64, 32]", "INPUT.SIZE_TEST", "[64, 32]"),
        {
            "agw": _LAST_OF_RESNET, "caj": _LAST_OF_RESNET,
            # Eight positions.
            "mscm": (*_LAST_OF_RESNET, "MODEL.MSCM.HEAD_DIM", "4"),
            "wrim": _ALL_KEYS,
        },
    ),
    # No weights of a ViT are at hand.
    VIT: Start(
        "ViT of six blocks of width 192 from random weights, 96 x 48, AdamW at 0.001",
        ("INPUT.SIZE_TRAIN", "[96, 48]", "INPUT.SIZE_TEST", "[96, 48]"),
        variants=VITS,
    ),
}  # fmt: skip
