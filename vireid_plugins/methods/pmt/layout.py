"""How PMT's public code (AAAI 2023, repository hulu88/PMT) names its parameters."""

from vireid_plugins.io.checkpoint_layout import Layout, Rule, neck_rules

_STAGES = "backbone.stages.stage"
_BLOCKS: tuple[Rule, ...] = tuple(
    # The first block follows the embedding of the tokens, and the last one has the norm after it.
    (rf"base\.blocks\.{n}\.(.*)", rf"{_STAGES}{n // 3 + 1}.blocks.{n % 3}.{'block.' if n in (0, 11) else ''}\1")
    for n in range(12)
)

LAYOUTS = {
    "pmt": Layout(
        "SYSU/pmt.yml",
        (
            (r"base\.patch_embed\.proj\.(.*)", r"backbone.stem.copies.0.blocks.0.\1"),
            (r"base\.(cls_token|pos_embed)", rf"{_STAGES}1.blocks.0.tokens.\1"),
            *_BLOCKS,
            (r"base\.norm\.(.*)", rf"{_STAGES}4.blocks.2.norm.\1"),
            *neck_rules("bottleneck", "classifier", "global"),
        ),
    )
}
