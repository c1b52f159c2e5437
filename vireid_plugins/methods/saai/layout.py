"""How SAAI's public code (ICCV 2023; repository xiaoye-hhh/SAAI) names its parameters."""

from vireid_plugins.io.checkpoint_layout import ONE_STREAM_MUTUAL, Layout, Rule

_SAAI: tuple[Rule, ...] = (
    (r"attn_pool\.part_tokens", r"masks.prototypes"),
    (r"attn_pool\.pos_embeding", r"masks.positions"),
    (r"bn_neck\.bn_neck_v\.(.*)", r"heads.necks.copies.0.0.\1"),
    (r"bn_neck\.bn_neck_i\.(.*)", r"heads.necks.copies.1.0.\1"),
    *ONE_STREAM_MUTUAL,
)

LAYOUTS = {
    "saai": Layout("SYSU/saai.yml", _SAAI),
    # Without MAMs.
    "saai_regdb": Layout("RegDB/saai.yml", _SAAI),
}
