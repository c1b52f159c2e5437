"""How MPANet's public code (CVPR 2021; repository DoubtedSteam/MPANet) names its parameters."""

from vireid_plugins.io.checkpoint_layout import ONE_STREAM_MUTUAL, Layout, Rule

_MPANET: tuple[Rule, ...] = (
    (r"spatial_attention\.(.*)", r"masks.score.\1"),
    (r"bn_neck\.(.*)", r"heads.global.bottleneck.0.\1"),
    *ONE_STREAM_MUTUAL,
)

LAYOUTS = {
    "mpanet": Layout("SYSU/mpanet.yml", _MPANET),
}
