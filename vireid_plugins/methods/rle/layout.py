"""How RLE's public code (NeurIPS 2024; repository stone96123/RLE) names its parameters."""

from vireid_plugins.io.checkpoint_layout import Layout, Rule, neck_rules, stage_rules, stem_rules

_RLE: tuple[Rule, ...] = (
    *stem_rules(r"visible_module\.visible", 0),
    *stem_rules(r"thermal_module\.thermal", 1),
    # A third stem, with a whole ResNet, that no image passes.
    (r"middle_module\..*", None),
    *stage_rules(r"base_resnet\.base", "1234"),
    (r"bottleneck([123])\.(.*)", r"heads.part_\1.bottleneck.0.\2"),
    (r"classifier([123])\.weight", r"heads.part_\1.weight"),
    *neck_rules("bottleneckg", "classifierg", "global"),
)

LAYOUTS = {
    "rle": Layout("SYSU/rle.yml", _RLE, "classifierg.weight"),
    # The RegDB network ends with stage 3; its checkpoints still contain stage 4.
    "rle_regdb": Layout("RegDB/rle.yml", ((r"base_resnet\.base\.layer4\..*", None), *_RLE), "classifierg.weight"),
}
