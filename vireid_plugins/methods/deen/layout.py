"""How DEEN's public code (repository ZYK100/LLCM) names its parameters."""

from vireid_plugins.io.checkpoint_layout import DUAL_STREAM, Layout, Rule

_DEEN: tuple[Rule, ...] = (
    *DUAL_STREAM,
    (r"DEE\.FC1([123])\.(.*)", r"dee.dilated.0.<\1>.\2"),
    (r"DEE\.FC2([123])\.(.*)", r"dee.dilated.1.<\1>.\2"),
    (r"DEE\.FC([12])\.(.*)", r"dee.out.<\1>.\2"),
    (r"MFA([123])\.CNL\.W\.0\.(.*)", r"mfa.<\1>.cnl.W.\2"),
    (r"MFA([123])\.CNL\.W\.1\.(.*)", r"mfa.<\1>.cnl.norm.\2"),
    (r"MFA([123])\.CNL\.(.*)", r"mfa.<\1>.cnl.\2"),
    (r"MFA([123])\.PNL\.W\.0\.(.*)", r"mfa.<\1>.pnl.W.\2"),
    (r"MFA([123])\.PNL\.W\.1\.(.*)", r"mfa.<\1>.pnl.norm.\2"),
    (r"MFA([123])\.PNL\.(.*)", r"mfa.<\1>.pnl.\2"),
)

LAYOUTS = {
    "deen": Layout("SYSU/deen.yml", _DEEN),
    # The RegDB network ends with stage 3; its checkpoints still contain stage 4.
    "deen_regdb": Layout("RegDB/deen.yml", ((r"base_resnet\.base\.layer4\..*", None), *_DEEN)),
}
