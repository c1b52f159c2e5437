"""Training provenance stored in a checkpoint, and a report of what changed on resume."""

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
# Keys that may change on resume without a warning: devices, speed, paths, scoring and logging.
FREE: tuple[str, ...] = (
    *("OUTPUT_DIR", "MODEL.DEVICE", "MODEL.WEIGHTS", "MODEL.BACKBONE.PRETRAIN", "MODEL.COMPILE", "CUDNN", "TEST."),
    *("DATALOADER.NUM_WORKERS", "DATALOADER.CACHE", "DATALOADER.TIMEOUT"),
    *("SOLVER.CHECKPOINT_", "SOLVER.METRICS_PERIOD", "SOLVER.SKIP_NONFINITE"),
)
# Keys that determine the weights of a network, including the node of every method, and the exceptions among them.
NETWORK = ("MODEL.", "INPUT.SIZE_TRAIN")
NOT_NETWORK = (
    *("MODEL.LOSSES", "MODEL.FREEZE_LAYERS", "MODEL.QUEUE_SIZE", "MODEL.CHECKPOINT_STAGES", "MODEL.SYNC_BN"),
    *("MODEL.HEADS.NUM_CLASSES", "MODEL.HEADS.CLS_LAYER", "MODEL.HEADS.SCALE", "MODEL.HEADS.MARGIN"),
    *("MODEL.HEADS.CLASSIFIER_STD", "MODEL.HEADS.NECK_STD"),
)
# Provenance that must be equal to resume a run, with descriptions for messages.
BINDING = {
    "meta_architecture": "MODEL.META_ARCHITECTURE",
    "datasets": "DATASETS.NAMES",
    "num_classes": "the number of training identities",
    "images": "the number of training images",
    "digest": "the list of training images",
}


def training_facts(cfg: CfgNode, train: TrainImages) -> dict[str, Any]:
    """Return the provenance of a training: its data, splits, protocols and configuration.

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
    """Return the configured split of each of the data sets `names` that has splits."""
    options = {name: build_options(cfg, name) for name in names}
    return {name: int(option["split"]) for name, option in options.items() if "split" in option}


def check_resumed(file: str, then: Mapping[str, Any], now: Mapping[str, Any]) -> None:
    """Compare the provenance of a checkpoint with that of the run that resumes it, and log the keys that differ.

    Args:
        file: the checkpoint.
        then: its provenance; entries that older checkpoints lack are not compared.
        now: provenance of this run.

    Raises:
        DataError: the data or the method differ.
    """
    mismatches = [
        f"{name} is {now[key]}, was {then[key]}" for key, name in BINDING.items() if then.get(key, now[key]) != now[key]
    ]
    changed = differences(then["config"], now["config"], FREE) if "config" in then else []
    if mismatches:
        keys = f"; keys that differ: {', '.join(changed)}" if changed else ""
        raise DataError(
            f"checkpoint '{file}' cannot be resumed: {'; '.join(mismatches)}{keys}. Restore the data and keys of the "
            "run, or start a new run from the checkpoint: without --resume, with MODEL.WEIGHTS and another OUTPUT_DIR"
        )
    if changed:
        logger.warning("the resumed run has different keys: %s", ", ".join(changed))


def other_network(then: Mapping[str, Any], now: Mapping[str, Any]) -> str:
    """Return a clause that lists the network's keys that differ, or an empty string if none is known.

    Args:
        then: provenance of a checkpoint.
        now: provenance of the network to fill; only `config` and `meta_architecture` of the two are read.
    """
    changed = differences(then["config"], now["config"], FREE) if "config" in then and "config" in now else []
    # The method first.
    keys = [line for line in changed if line.startswith(NETWORK) and not line.startswith(NOT_NETWORK)]
    keys.sort(key=lambda line: not line.startswith(BINDING["meta_architecture"]))
    if not keys and then.get("meta_architecture") != now.get("meta_architecture") and then.get("meta_architecture"):
        keys = [f"{BINDING['meta_architecture']}: {then['meta_architecture']} -> {now.get('meta_architecture')}"]
    return f"; keys in the checkpoint -> keys now: {listed(keys)}" if keys else ""


def _digest(train: TrainImages) -> str:
    """Return a digest of the list of training images that does not depend on the data root."""
    digest = hashlib.sha256()
    for (path, _, camera), target, modality in zip(train.items, train.targets, train.modalities, strict=True):
        # The last three parts of a path are camera or modality, identity and image in all data sets.
        digest.update(f"{'/'.join(path.replace(chr(92), '/').split('/')[-3:])} {target} {camera} {modality}\n".encode())
    return digest.hexdigest()[:16]
