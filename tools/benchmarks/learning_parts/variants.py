"""What is compared: the methods, ablations of four of them, and learning with and without labels."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Variant:
    """A row of the table: a configuration of configs/demo with overrides.

    Attributes:
        name: name of the row.
        config: file in configs/demo without its suffix.
        overrides: changes to the configuration.
        against: the row that it is compared with.
        free: whether it lacks the modules that force overrides.
    """

    name: str
    config: str
    overrides: tuple[str, ...] = ()
    against: str = "one-stream"
    free: bool = False


def _idkl(name: str, *losses: str, purify: bool = True) -> Variant:
    """Return a row of the paper's table 4: the losses that all rows share, and `losses`."""
    names = str(["LabelSmoothCE", "HardTriplet", "ModalityHeads", *losses])
    return Variant(name, "idkl", ("MODEL.LOSSES.NAME", names, "MODEL.IDKL.PURIFY", str(purify)), "IDKL")


def _wrim(name: str, *overrides: str, against: str = "WRIM-Net", free: bool = False) -> Variant:
    """Return a form of WRIM-Net with the specification's gate and lambda1 instead of the demo's, and `overrides`."""
    specified = ("MODEL.ATTENTION.MIIM.RESIDUAL", "False", "MODEL.LOSSES.CMKIC.SCALE", "1.0")
    return Variant(f"WRIM-Net{name}", "wrim", (*specified, *overrides), against, free)


METHODS = (
    *(Variant(*row) for row in (("one-stream", "one_stream"), ("AGW", "agw"), ("CAJ", "caj"), ("DEEN", "deen"))),
    _wrim("", against="one-stream"),
    *(Variant(*row) for row in (("IDKL", "idkl"), ("IDKL, released", "idkl_released"))),
    *(Variant(*row) for row in (("MSCMNet", "mscm"), ("ICRE", "icre"))),
    *(Variant(*row) for row in (("MPANet", "mpanet"), ("SAAI", "saai"), ("RLE", "rle"))),
)
_NO_MIIM = tuple(word for stage in range(1, 5) for word in (f"MODEL.ATTENTION.STAGE{stage}", "[]"))
_NO_CMKIC = ("MODEL.LOSSES.NAME", "['LabelSmoothCE', 'HardTriplet']", "MODEL.HEADS.PROJECTION_DIM", "0")
OF_WRIM = (
    _wrim(" without MIIM", *_NO_MIIM, free=True),
    _wrim(" without CMKIC", *_NO_CMKIC),
    _wrim(" without either", *_NO_MIIM, *_NO_CMKIC, free=True),
    _wrim(", shared MIIM", "MODEL.ATTENTION.MIIM.SEPARATE", "[False, False, False, False]"),
    _wrim(", gate F * (1 + G)", "MODEL.ATTENTION.MIIM.RESIDUAL", "True"),
    _wrim(", lambda1 0.3", "MODEL.LOSSES.CMKIC.SCALE", "0.3"),
)
OF_IDKL = (
    _idkl("IDKL: base", purify=False),
    _idkl("IDKL: tgsa", "TGSA", purify=False),
    _idkl("IDKL: ip + tgsa", "Purification", "TGSA"),
    _idkl("IDKL: ip + csa", "Purification", "CSA"),
    _idkl("IDKL: ip + mdr", "Purification", "MDR"),
)
# What MPANet and SAAI share: the network without MAM, and losses by name.
_NO_MAM = ("MODEL.ATTENTION.STAGE3", "[]", "MODEL.ATTENTION.STAGE4", "[]")


def _parts(method: str, name: str, losses: str, *overrides: str) -> Variant:
    """Return a form of MPANet or SAAI with the `losses`, names with a space between."""
    names = ("MODEL.LOSSES.NAME", str(losses.split()))
    return Variant(f"{method} {name}", method.lower(), (*names, *overrides), method)


def _without(method: str, separation: str) -> tuple[Variant, ...]:
    """Return MPANet or SAAI without each of its four parts, and with cross-entropy and center cluster loss alone."""
    shared, teaching = "LabelSmoothCE CenterCluster", "SpecificCE MutualTeaching"
    no_parts, no_teaching = (f"MODEL.{method.upper()}.PARTS", "0"), (f"MODEL.{method.upper()}.MUTUAL", "False")
    return (
        _parts(method, "without MAM", f"{shared} {teaching} {separation}", *_NO_MAM),
        _parts(method, "without parts", f"{shared} {teaching}", *no_parts),
        _parts(method, "without teaching", f"{shared} {separation}", *no_teaching),
        _parts(method, "without center cluster", f"LabelSmoothCE {teaching} {separation}"),
        _parts(method, "base", shared, *_NO_MAM, *no_parts, *no_teaching),
    )


OF_MPANET, OF_SAAI = _without("MPANet", "PatternSeparation"), _without("SAAI", "PartDiversity")
# ADCA's network, with one-stream's losses and augmentation.
_SUPERVISED = ("MODEL.STREAMS.COUNT", "2", "MODEL.STREAMS.MAX_POOL", "torchvision",
               "MODEL.HEADS.POOL_LAYER", "GeMAdd", "MODEL.HEADS.NECK_STD", "0.01")  # fmt: skip
# Two stages of 66 steps of 64 images: 16 visible ones in two views and 32 infrared ones. What demo/adca.yml and
# demo/pgm.yml say of clusters stays.
_CLUSTERS = (
    "DATALOADER.SAMPLER_TRAIN", "ApartSampler", "DATALOADER.NUM_INSTANCE", "4", "SOLVER.IMS_PER_BATCH", "48",
    "DATALOADER.APART.IDENTITIES", "[4, 8]", "DATALOADER.APART.STEPS", "22", "SOLVER.BASE_LR", "0.001",
    "SOLVER.MAX_EPOCH", "3", "SOLVER.STEPS", "[2]", "SOLVER.WARMUP_ITERS", "15",
    "SOLVER.CHECKPOINT_PERIOD", "3", "TEST.EVAL_PERIOD", "3",
)  # fmt: skip
LABELS_OR_CLUSTERS = (
    Variant("supervised", "one_stream", _SUPERVISED, "supervised"),
    Variant("PGM", "pgm", _CLUSTERS, "supervised"),
    Variant("ADCA", "adca", _CLUSTERS, "supervised"),
)
# The first third of the twelve epochs is phase 1, a quarter in the recipe.
_PMT_LOSSES = "[['ModalityTriplet', 1, 4], ['HardTriplet', 5, 0], ['MSEL', 5, 0], ['DCL', 5, 0]]"
_PMT_PHASES = ("MODEL.LOSSES.EPOCHS", _PMT_LOSSES, "INPUT.FIRST_EPOCHS", "4")
VITS = (
    # What the public code calls its base.
    Variant("ViT", "pmt", ("MODEL.LOSSES.NAME", "['LabelSmoothCE', 'HardTriplet']", "MODEL.LOSSES.EPOCHS", "[]",
                           "INPUT.FIRST_EPOCHS", "0"), "ViT"),
    Variant("PMT", "pmt", _PMT_PHASES, "ViT"),
)  # fmt: skip
GROUPS = (METHODS, OF_WRIM, OF_IDKL, OF_MPANET, OF_SAAI, LABELS_OR_CLUSTERS, VITS)
VARIANTS = {variant.name: variant for group in GROUPS for variant in group}
