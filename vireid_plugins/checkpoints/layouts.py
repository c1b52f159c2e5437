"""How public VI-ReID code bases name their parameters.

A layout is the config of the method and a list of rules; the first whose pattern matches a key says its new name, or,
with None, that it is a copy that the code base carries and never uses. Imports only the standard library: a command
line lists the layouts.
"""

from dataclasses import dataclass

Rule = tuple[str, str | None]


@dataclass(frozen=True)
class Layout:
    """A public code base.

    Attributes:
        config: the configuration whose network the checkpoint fills.
        rules: pairs of a pattern for whole keys and a replacement, None for unused copies.
        classifier: key of the weight whose rows are the identities.
    """

    config: str
    rules: tuple[Rule, ...]
    classifier: str = "classifier.weight"


def _stem(prefix: str, copy: int) -> tuple[Rule, ...]:
    """Return the rules of a whole ResNet of which only the stem is used."""
    target = f"backbone.stem.copies.{copy}.blocks"
    return (
        (rf"{prefix}\.conv1\.(.*)", rf"{target}.0.\1"),
        (rf"{prefix}\.bn1\.(.*)", rf"{target}.1.\1"),
        (rf"{prefix}\..*", None),
    )


def _stages(prefix: str, stages: str) -> tuple[Rule, ...]:
    """Return the rules of a whole ResNet of which only some stages are used."""
    return (
        (rf"{prefix}\.layer([{stages}])\.(.*)", r"backbone.stages.stage\1.blocks.\2"),
        (rf"{prefix}\..*", None),
    )


def _neck(source: str, classifier: str, head: str) -> tuple[Rule, ...]:
    return (
        (rf"{source}\.(.*)", rf"heads.{head}.bottleneck.0.\1"),
        (rf"{classifier}\.weight", rf"heads.{head}.weight"),
    )


def _modality_head(source: str, head: str) -> tuple[Rule, ...]:
    places = {"fc1": 0, "bn1": 1, "fc2": 4, "bn2": 5, "fc3": 8}
    return tuple((rf"{source}\.{name}\.(.*)", rf"heads.{head}.{place}.\1") for name, place in places.items())


_NON_LOCAL: tuple[Rule, ...] = (
    (r"NL_(\d)\.(\d)\.(g)\.0\.(.*)", r"backbone.stages.stage\1.attention.\2.\3.\4"),
    (r"NL_(\d)\.(\d)\.W\.0\.(.*)", r"backbone.stages.stage\1.attention.\2.W.\3"),
    (r"NL_(\d)\.(\d)\.W\.1\.(.*)", r"backbone.stages.stage\1.attention.\2.norm.\3"),
    (r"NL_(\d)\.(\d)\.(.*)", r"backbone.stages.stage\1.attention.\2.\3"),
)
_DUAL = (
    *_stem(r"visible_module\.visible", 0),
    *_stem(r"thermal_module\.thermal", 1),
    *_stages(r"base_resnet\.base", "1234"),
    *_neck("bottleneck", "classifier", "global"),
)
_SHARED, _BRANCH, _SPECIAL = (
    r"backbone\.shared_module_fr\.model_sh_fr",
    r"backbone\.shared_module_bh\.model_sh_bh",
    r"backbone\.special\.special_module",
)
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

_DEEN: tuple[Rule, ...] = (
    *_DUAL,
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

LAYOUTS: dict[str, Layout] = {
    "agw": Layout("SYSU/agw.yml", (*_DUAL, *_NON_LOCAL)),
    "deen": Layout("SYSU/deen.yml", _DEEN),
    # The network for RegDB ends with stage 3; its code still carries stage 4.
    "deen_regdb": Layout("RegDB/deen.yml", ((r"base_resnet\.base\.layer4\..*", None), *_DEEN)),
    "idkl": Layout(
        "SYSU/idkl_released.yml",
        (
            (rf"{_SHARED}\.conv1\.(.*)", r"backbone.stem.copies.0.blocks.0.\1"),
            (rf"{_SHARED}\.bn1\.(.*)", r"backbone.stem.copies.0.blocks.1.\1"),
            *_stages(_SHARED, "12"),
            *_stages(_BRANCH, "34"),
            (rf"{_SPECIAL}\.layer3\.(.*)", r"specific.0.blocks.\1"),
            (rf"{_SPECIAL}\.layer4\.(.*)", r"specific.1.blocks.\1"),
            (rf"{_SPECIAL}\..*", None),
            (r"backbone\.IN\.(.*)", r"purifier.norm.\1"),
            (r"backbone\.special_att\..*", None),
            (r"backbone\.mask1\.channel_attention\.(.*)", r"purifier.mask_r.\1"),
            (r"backbone\.mask2\.channel_attention\.(.*)", r"purifier.mask_e.\1"),
            *_neck("bn_neck", "classifier", "sh"),
            *_neck("bn_neck_sp", "classifier_sp", "sp"),
            (r"C_sp_f\.weight", "heads.entropy.weight"),
            *_modality_head("D_special", "discriminator0"),
            *_modality_head("D_shared_pseu", "confuser0"),
        ),
    ),
    "mscm": Layout(
        "SYSU/mscm_released.yml",
        (
            *_stem(r"visible_module\.visible", 0),
            *_stem(r"visible_moduleA\.visible", 1),
            *_stem(r"thermal_module\.thermal", 2),
            *_stem(r"thermal_moduleA\.thermal", 3),
            *_stages(r"base_resnet\.base", "1234"),
            *_neck("bottleneck", "classifier", "global"),
            *_NON_LOCAL,
            *_ALB,
            (r"(local_conv|feat_bn2d)\..*", None),
        ),
    ),
}
