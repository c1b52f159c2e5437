"""Configuration keys of WRIM-Net (ECCV 2024, arXiv 2408.10624)."""

from dataclasses import dataclass

from vireid_plugins.config.keys import Key, declare, declare_table
from vireid_plugins.errors import ConfigError, require_name


@dataclass(frozen=True, kw_only=True)
class WRIMOptions:
    """`MODEL.WRIM`.

    Args:
        parts: N, number of horizontal parts of the last feature map (R_1 .. R_N).
        aux_weight: lambda2, weight of the auxiliary branch's losses; 0 leaves the branch out.
        projection_from: feature of R_g that the MLP of Z takes, "pooled" or "neck" (the BNNeck feature).
        test_aux: include the auxiliary branch Q_g in the test feature (7,168-d in ResNet-50 instead of 6,144-d).

    Raises:
        ConfigError: `projection_from` is unknown, or `test_aux` needs the branch that `aux_weight` 0 leaves out.
    """

    parts: int = 2
    aux_weight: float = 0.5
    projection_from: str = "pooled"
    test_aux: bool = False

    def __post_init__(self) -> None:
        require_name("MODEL.WRIM.PROJECTION_FROM", self.projection_from, ("pooled", "neck"))
        if self.test_aux and not self.aux_weight:
            raise ConfigError(
                "MODEL.WRIM.TEST_AUX: True needs the auxiliary branch, which MODEL.WRIM.AUX_WEIGHT 0 leaves out; set "
                "one of them"
            )


declare("MODEL.WRIM", WRIMOptions)
# The other keys of MIIM are in its constructor; these have an entry per stage.
declare_table(
    Key("MODEL.ATTENTION.MIIM.REDUCTION", [2, 2, 4, 4], "r, one per stage: channels are compressed from C to C / r."),
    Key(
        "MODEL.ATTENTION.MIIM.STRIDE",
        [],
        "s, one per stage, a number or a pair [height, width]: kernel and stride of the compression. Empty: size of "
        "the feature map / size of the last one, per axis, so that all stages attend over the same grid.",
    ),
    Key("MODEL.ATTENTION.MIIM.SEPARATE", [True, True, False, False], "One per stage: separate weights per modality."),
)
