"""Configuration keys of IDKL (CVPR 2024, arXiv 2403.11708)."""

from dataclasses import dataclass

from vireid_plugins.config.keys import Key, declare, declare_table
from vireid_plugins.errors import require_name

FORMS = ("paper", "released")


@dataclass(frozen=True, kw_only=True)
class IDKLOptions:
    """`MODEL.IDKL`.

    Args:
        form: "paper" has confusers behind a gradient reversal and discriminators at several depths, and L_e on the
            purified classifier; "released" has one modality head per branch on the BNNeck feature, and L_e on a
            classifier of its own.
        purify: use the purifier; without it the raw specific branch replaces the purified one (ablation).
        purified_weight: weight of the identity losses of the purified branch: lambda1 in the paper, 1 in the released
            code.
        raw_identity: apply identity losses to the raw specific branch too (paper).
        grl_weight: weight of the reversed gradient.

    Raises:
        ConfigError: the form is unknown.
    """

    form: str = "paper"
    purify: bool = True
    purified_weight: float = 0.1
    raw_identity: bool = True
    grl_weight: float = 1.0

    def __post_init__(self) -> None:
        require_name("MODEL.IDKL.FORM", self.form, FORMS)

    @property
    def has_raw_identity(self) -> bool:
        """Whether the raw specific branch has identity losses; without a purifier it always has."""
        return self.raw_identity or not self.purify


declare("MODEL.IDKL", IDKLOptions)
# Instead of this switch the constructors take K, `DATALOADER.NUM_INSTANCE`.
declare_table(
    *(
        Key(f"MODEL.LOSSES.{node}.INSTANCE_WISE", False, "Add the instance-wise divergence of logits (released code).")
        for node in ("CSA", "MDR")
    )
)
