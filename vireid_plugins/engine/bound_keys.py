"""Which keys a checkpoint binds: what a resumed run must keep, and what the weights are scored with."""

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

# Keys that may change on resume without a message: devices, speed, paths, scoring and logging.
FREE: tuple[str, ...] = (
    *("OUTPUT_DIR", "MODEL.DEVICE", "MODEL.WEIGHTS", "MODEL.BACKBONE.PRETRAIN", "MODEL.COMPILE", "CUDNN", "TEST."),
    "MODEL.RECOMPUTE_ACTIVATIONS",
    "LOGGERS",
    *("DATALOADER.NUM_WORKERS", "DATALOADER.CACHE", "DATALOADER.TIMEOUT"),
    *("SOLVER.CHECKPOINT_", "SOLVER.METRICS_PERIOD", "SOLVER.SKIP_NONFINITE"),
)
# Keys that determine the network, including the node of every method, and the exceptions among them.
NETWORK = ("MODEL.", "INPUT.SIZE_TRAIN")
NOT_NETWORK = (
    *("MODEL.LOSSES", "MODEL.FREEZE_LAYERS", "MODEL.QUEUE_SIZE", "MODEL.CHECKPOINT_STAGES", "MODEL.SYNC_BN"),
    *("MODEL.HEADS.NUM_CLASSES", "MODEL.HEADS.CLS_LAYER", "MODEL.HEADS.SCALE", "MODEL.HEADS.MARGIN"),
    *("MODEL.HEADS.CLASSIFIER_STD", "MODEL.HEADS.NECK_STD"),
)
# Keys outside the network that change the features of given weights.
IMAGES = (
    *("INPUT.SIZE_TEST", "INPUT.INTERPOLATION", "INPUT.INTERPOLATION_TEST"),
    *("INPUT.THERMAL.LOW", "INPUT.THERMAL.HIGH", "INPUT.THERMAL.PERCENTILES"),
)
# Keys of a test, and of what a checkpoint is taken for, that change the features of a gallery.
GALLERY = ("MODEL.WEIGHTS_AVERAGED", "TEST.FLIP", "TEST.FEATURE")
OPTIMIZER = (
    *("SOLVER.OPT", "SOLVER.WEIGHT_DECAY", "SOLVER.WEIGHT_DECAY_NORM", "SOLVER.WEIGHT_DECAY_BIAS"),
    *("SOLVER.BIAS_LR_FACTOR", "SOLVER.HEADS_LR_FACTOR", "SOLVER.LR_FACTORS"),
)
# Keys that draw the test identities of images of one's own (`OwnFolder`).
DIVISION = ("DATASETS.OWN.SEED", "DATASETS.OWN.TEST_SHARE")
BATCHES = (
    *("SEED", "SOLVER.IMS_PER_BATCH", "DATALOADER.NUM_INSTANCE", "DATALOADER.SAMPLER_TRAIN"),
    *("DATALOADER.APART.IDENTITIES", "DATALOADER.APART.OTHER_CAMERAS"),
)
AVERAGE = ("SOLVER.EMA_DECAY",)
RATES = (
    *("SOLVER.BASE_LR", "SOLVER.MOMENTUM", "SOLVER.NESTEROV", "SOLVER.SCHED", "SOLVER.STEPS", "SOLVER.GAMMA"),
    *("SOLVER.MAX_EPOCH", "SOLVER.DELAY_EPOCHS", "SOLVER.ETA_MIN_LR", "SOLVER.WARMUP_FACTOR", "SOLVER.WARMUP_METHOD"),
    *("SOLVER.WARMUP_ITERS", "SOLVER.WARMUP_EPOCHS"),
)

# Keys that decide what the score is by which the best checkpoint is chosen.
SCORE = (
    *("DATASETS.TESTS", "TEST.PROTOCOLS", "TEST.METRIC", "TEST.RERANK.", "TEST.AQE.", "TEST.AIM."),
    *("TEST.FLIP.", "TEST.FEATURE"),
    *IMAGES,
)


class Bound(NamedTuple):
    """Keys of which a checkpoint holds something.

    Attributes:
        keys: the keys, or the beginnings of their names.
        held: what a checkpoint holds of them.
        on_resume: what another value does when a run is resumed.
        elsewhere: what it does when the weights are scored, searched with, exported, drawn or trained on.
    """

    keys: str
    held: str
    on_resume: str
    elsewhere: str


def _named(keys: Iterable[str]) -> str:
    return ", ".join(f"`{key}`" for key in keys)


REFUSED = "refused"
# The table of docs/resuming.md.
BOUND = (
    Bound("`DATASETS.NAMES`, splits, the lists of images", "what was learned", REFUSED, "another split is refused"),
    Bound(_named(DIVISION), "which identities were trained", REFUSED, "refused where these images are tested"),
    Bound(
        f"`MODEL.*` and `INPUT.SIZE_TRAIN`, except {_named(NOT_NETWORK)}",
        "weights of that network",
        REFUSED,
        "refused if a tensor does not fit, else a WARNING that names them",
    ),
    Bound(_named(IMAGES), "weights for such images", "used from then on", "a WARNING that names them"),
    Bound(_named(OPTIMIZER), "the optimizer's state and groups", REFUSED, "-"),
    Bound(_named(BATCHES), "the position in the order of the images", REFUSED, "-"),
    Bound(_named(AVERAGE), "averaged weights", REFUSED, "averaged weights are used whatever it is"),
    Bound(_named(RATES), "rates and the position in the schedule", "used from then on", "-"),
    Bound("all others", "-", "used from then on", "-"),
)
# Said before a training.
SUMMARY = (
    "A run can only be resumed with the same data, network (MODEL.*, INPUT.SIZE_TRAIN) and "
    f"{', '.join((*OPTIMIZER, *BATCHES, *AVERAGE))}; other values of other keys are used from then on"
)


def network_keys(changes: Mapping[str, Any]) -> list[str]:
    """Return the keys among `changes` that determine the network, the method's first."""
    keys = [key for key in changes if key.startswith(NETWORK) and not key.startswith(NOT_NETWORK)]
    return sorted(keys, key=lambda key: key != "MODEL.META_ARCHITECTURE")


def refused_on_resume(changes: Mapping[str, Any]) -> list[str]:
    """Return the keys among `changes` that a resumed run must keep."""
    bound = (*DIVISION, *OPTIMIZER, *BATCHES, *AVERAGE)
    return [*network_keys(changes), *(key for key in changes if key in bound)]


def feature_keys(changes: Mapping[str, Any]) -> list[str]:
    """Return the keys among `changes` with which given weights have other features."""
    return [*network_keys(changes), *(key for key in changes if key in IMAGES)]


def gallery_keys(changes: Mapping[str, Any]) -> list[str]:
    """Return the keys among `changes`, of which none is left out, with which a gallery would have other features."""
    kept = [key for key in changes if not key.startswith(FREE)]
    return [*feature_keys({key: changes[key] for key in kept}), *(key for key in changes if key.startswith(GALLERY))]
