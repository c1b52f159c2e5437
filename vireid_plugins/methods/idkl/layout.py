"""How IDKL's public code (repository 1KK077/IDKL) names its parameters."""

from vireid_plugins.io.checkpoint_layout import Layout, Rule, neck_rules, stage_rules

_SHARED, _BRANCH, _SPECIAL = (
    r"backbone\.shared_module_fr\.model_sh_fr",
    r"backbone\.shared_module_bh\.model_sh_bh",
    r"backbone\.special\.special_module",
)


def _modality_head(source: str, head: str) -> tuple[Rule, ...]:
    """Return the rules of a modality head."""
    layers = {"fc1": 0, "bn1": 1, "fc2": 4, "bn2": 5, "fc3": 8}
    return tuple((rf"{source}\.{name}\.(.*)", rf"heads.{head}.{layer}.\1") for name, layer in layers.items())


LAYOUTS = {
    "idkl": Layout(
        "SYSU/idkl_released.yml",
        (
            (rf"{_SHARED}\.conv1\.(.*)", r"backbone.stem.copies.0.blocks.0.\1"),
            (rf"{_SHARED}\.bn1\.(.*)", r"backbone.stem.copies.0.blocks.1.\1"),
            *stage_rules(_SHARED, "12"),
            *stage_rules(_BRANCH, "34"),
            (rf"{_SPECIAL}\.layer3\.(.*)", r"specific.0.blocks.\1"),
            (rf"{_SPECIAL}\.layer4\.(.*)", r"specific.1.blocks.\1"),
            (rf"{_SPECIAL}\..*", None),
            (r"backbone\.IN\.(.*)", r"purifier.norm.\1"),
            (r"backbone\.special_att\..*", None),
            (r"backbone\.mask1\.channel_attention\.(.*)", r"purifier.mask_r.\1"),
            (r"backbone\.mask2\.channel_attention\.(.*)", r"purifier.mask_e.\1"),
            *neck_rules("bn_neck", "classifier", "sh"),
            *neck_rules("bn_neck_sp", "classifier_sp", "sp"),
            (r"C_sp_f\.weight", "heads.entropy.weight"),
            *_modality_head("D_special", "discriminator0"),
            *_modality_head("D_shared_pseu", "confuser0"),
        ),
    ),
}
