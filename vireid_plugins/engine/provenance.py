"""What a checkpoint says of its training, and what is different now that it is taken up again."""

import hashlib
import logging
from collections.abc import Iterable, Mapping
from typing import Any

from fastreid.config import CfgNode

from vireid_plugins.config.model_selection import VALIDATION
from vireid_plugins.config.node import differences
from vireid_plugins.data.datasets import build_options
from vireid_plugins.data.torch_datasets import TrainImages
from vireid_plugins.errors import DataError
from vireid_plugins.modeling.fit import listed

logger = logging.getLogger("fastreid." + __name__)
# What may change in a run without a word: where and how fast it goes, what is scored and written.
FREE: tuple[str, ...] = (
    *("OUTPUT_DIR", "MODEL.DEVICE", "MODEL.WEIGHTS", "MODEL.BACKBONE.PRETRAIN", "MODEL.COMPILE", "CUDNN", "TEST."),
    *("DATALOADER.NUM_WORKERS", "DATALOADER.CACHE", "DATALOADER.TIMEOUT"),
    *("SOLVER.CHECKPOINT_", "SOLVER.METRICS_PERIOD", "SOLVER.SKIP_NONFINITE"),
)
# What decides which weights a network has, among them the node of every method, and what below does not.
NETWORK = ("MODEL.", "INPUT.SIZE_TRAIN")
NOT_NETWORK = (
    *("MODEL.LOSSES", "MODEL.FREEZE_LAYERS", "MODEL.QUEUE_SIZE", "MODEL.CHECKPOINT_STAGES", "MODEL.SYNC_BN"),
    *("MODEL.HEADS.NUM_CLASSES", "MODEL.HEADS.CLS_LAYER", "MODEL.HEADS.SCALE", "MODEL.HEADS.MARGIN"),
    *("MODEL.HEADS.CLASSIFIER_STD", "MODEL.HEADS.NECK_STD"),
)
# What a checkpoint cannot be taken up without.
BINDING = {
    "meta_architecture": "MODEL.META_ARCHITECTURE",
    "datasets": "DATASETS.NAMES",
    "num_classes": "the number of training identities",
    "images": "the number of training images",
    "digest": "the list of training images",
}


def training_facts(cfg: CfgNode, train: TrainImages) -> dict[str, Any]:
    """Return what a checkpoint says of its training.

    Args:
        cfg: the configuration.
        train: the training images.
    """
    return {
        "datasets": list(cfg.DATASETS.NAMES),
        "splits": splits_of(cfg, cfg.DATASETS.NAMES),
        "chosen_on": "the validation identities" if cfg.DATASETS.TESTS[:1] == (VALIDATION,) else "the test set",
        "num_classes": int(cfg.MODEL.HEADS.NUM_CLASSES),
        "meta_architecture": cfg.MODEL.META_ARCHITECTURE,
        "protocols": list(cfg.TEST.PROTOCOLS),
        "images": len(train),
        "digest": _digest(train),
        "config": cfg.dump(),
    }


def splits_of(cfg: CfgNode, names: Iterable[str]) -> dict[str, int]:
    """Return the split that the configuration says for those of the data sets `names` that have splits."""
    options = ((name, build_options(cfg, name)) for name in names)
    return {name: int(found["split"]) for name, found in options if "split" in found}


def check_resumed(file: str, then: Mapping[str, Any], now: Mapping[str, Any]) -> None:
    """Compare the training of a checkpoint with the one that is to go on from it.

    Args:
        file: the checkpoint.
        then: its facts; those of older checkpoints lack some, which are not compared.
        now: those of this run.

    Raises:
        DataError: the data or the method are others; keys that differ are only logged.
    """
    others = [
        f"{name} is {now[key]}, was {then[key]}" for key, name in BINDING.items() if then.get(key, now[key]) != now[key]
    ]
    changed = differences(then["config"], now["config"], FREE) if "config" in then else []
    if others:
        more = f"; keys that differ: {', '.join(changed)}" if changed else ""
        raise DataError(
            f"checkpoint '{file}' cannot be resumed: {'; '.join(others)}{more}. Give the run its data and keys back, "
            "or start another one from it: without --resume, with MODEL.WEIGHTS and another OUTPUT_DIR"
        )
    if changed:
        logger.warning("the run goes on with other keys than it began with: %s", ", ".join(changed))


def other_network(then: Mapping[str, Any], now: Mapping[str, Any]) -> str:
    """Return the words for the keys of the network that differ, or nothing where it is not known.

    Args:
        then: the facts of a checkpoint.
        now: those of the network it is meant for; of both, `config` and `meta_architecture` are read.
    """
    changed = differences(then["config"], now["config"], FREE) if "config" in then and "config" in now else []
    # The method first; losses have no weights.
    keys = [line for line in changed if line.startswith(NETWORK) and not line.startswith(NOT_NETWORK)]
    keys.sort(key=lambda line: not line.startswith(BINDING["meta_architecture"]))
    if not keys and then.get("meta_architecture") != now.get("meta_architecture") and then.get("meta_architecture"):
        keys = [f"{BINDING['meta_architecture']}: {then['meta_architecture']} -> {now.get('meta_architecture')}"]
    return f"; as it was trained -> as it is now: {listed(keys)}" if keys else ""


def _digest(train: TrainImages) -> str:
    """Return what tells two lists of training images apart, wherever their data root is."""
    digest = hashlib.sha256()
    for (path, _, camera), target, modality in zip(train.items, train.targets, train.modalities, strict=True):
        # The last three parts: all sets name camera or modality, identity and image.
        digest.update(f"{'/'.join(path.replace(chr(92), '/').split('/')[-3:])} {target} {camera} {modality}\n".encode())
    return digest.hexdigest()[:16]
