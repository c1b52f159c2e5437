"""How a public VI-ReID code base names its parameters, and the rules that several of them share.

A layout is the config of the method and a list of rules; the first whose pattern matches a key gives its new name, or
None for a copy that the code base carries and never uses. Imports only the standard library: a command line lists the
layouts.
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


def stem_rules(prefix: str, copy: int) -> tuple[Rule, ...]:
    """Return the rules of a whole ResNet of which only the stem is used."""
    target = f"backbone.stem.copies.{copy}.blocks"
    return (
        (rf"{prefix}\.conv1\.(.*)", rf"{target}.0.\1"),
        (rf"{prefix}\.bn1\.(.*)", rf"{target}.1.\1"),
        (rf"{prefix}\..*", None),
    )


def stage_rules(prefix: str, stages: str) -> tuple[Rule, ...]:
    """Return the rules of a whole ResNet of which only some stages are used."""
    return (
        (rf"{prefix}\.layer([{stages}])\.(.*)", r"backbone.stages.stage\1.blocks.\2"),
        (rf"{prefix}\..*", None),
    )


def neck_rules(source: str, classifier: str, head: str) -> tuple[Rule, ...]:
    """Return the rules of a BNNeck and its classifier."""
    return (
        (rf"{source}\.(.*)", rf"heads.{head}.bottleneck.0.\1"),
        (rf"{classifier}\.weight", rf"heads.{head}.weight"),
    )


# Of AGW and the code bases that were made from it.
NON_LOCAL: tuple[Rule, ...] = (
    (r"NL_(\d)\.(\d)\.(g)\.0\.(.*)", r"backbone.stages.stage\1.attention.\2.\3.\4"),
    (r"NL_(\d)\.(\d)\.W\.0\.(.*)", r"backbone.stages.stage\1.attention.\2.W.\3"),
    (r"NL_(\d)\.(\d)\.W\.1\.(.*)", r"backbone.stages.stage\1.attention.\2.norm.\3"),
    (r"NL_(\d)\.(\d)\.(.*)", r"backbone.stages.stage\1.attention.\2.\3"),
)
DUAL_STREAM: tuple[Rule, ...] = (
    *stem_rules(r"visible_module\.visible", 0),
    *stem_rules(r"thermal_module\.thermal", 1),
    *stage_rules(r"base_resnet\.base", "1234"),
    *neck_rules("bottleneck", "classifier", "global"),
)
# Of MPANet and SAAI, which was made from it: one stream, and classifiers and teachers of each modality.
ONE_STREAM_MUTUAL: tuple[Rule, ...] = (
    (r"backbone\.conv1\.(.*)", r"backbone.stem.copies.0.blocks.0.\1"),
    (r"backbone\.bn1\.(.*)", r"backbone.stem.copies.0.blocks.1.\1"),
    (r"backbone\.layer([1234])\.(.*)", r"backbone.stages.stage\1.blocks.\2"),
    (r"backbone\.MAM([34])\.channel_attention\.(.*)", r"backbone.stages.stage\1.attention.0.gate.\2"),
    (r"classifier\.weight", r"heads.global.weight"),
    (r"(visible|infrared)_classifier\.weight", r"heads.\1.weight"),
    (r"(visible|infrared)_classifier_\.weight", r"heads.\1_teacher.weight"),
)
