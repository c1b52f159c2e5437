"""How MSCMNet's public code (repository Hua-XC/MSCMNet) names its parameters."""

from vireid_plugins.io.checkpoint_layout import NON_LOCAL, Layout, Rule, neck_rules, stage_rules, stem_rules

_ALB: tuple[Rule, ...] = (
    (r"layerATT(\d)\.ATT_(narrow|broad)\.(.*)", r"blocks.\1.\2.\3"),
    (r"layerATT([01])\.ATT_narrow1\.(.*)", r"blocks.\1.shallow.\2"),
    (r"layerATT(2)\.ATT_narrow2\.(.*)", r"blocks.\1.shallow.\2"),
    (r"layerATT\d\.ATT_narrow[12]\..*", None),
    (r"layerATT(\d)\.attn\.(.*)", r"blocks.\1.attention.\2"),
    (r"layerATT(\d)\.ln_1\.(.*)", r"blocks.\1.deep_norm.\2"),
    (r"layerATT([012])\.ln_1o\.(.*)", r"blocks.\1.shallow_norm.\2"),
    (r"layerATT3\.ln_1o\..*", None),
    (r"layerATT(\d)\.ln_2\.(.*)", r"blocks.\1.mlp_norm.\2"),
    (r"layerATT(\d)\.mlp\.c_fc\.(.*)", r"blocks.\1.mlp.0.\2"),
    (r"layerATT(\d)\.mlp\.c_proj\.(.*)", r"blocks.\1.mlp.2.\2"),
)

LAYOUTS = {
    "mscm": Layout(
        "SYSU/mscm_released.yml",
        (
            *stem_rules(r"visible_module\.visible", 0),
            *stem_rules(r"visible_moduleA\.visible", 1),
            *stem_rules(r"thermal_module\.thermal", 2),
            *stem_rules(r"thermal_moduleA\.thermal", 3),
            *stage_rules(r"base_resnet\.base", "1234"),
            *neck_rules("bottleneck", "classifier", "global"),
            *NON_LOCAL,
            *_ALB,
            (r"(local_conv|feat_bn2d)\..*", None),
        ),
    ),
}
