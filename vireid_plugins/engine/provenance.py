"""Training provenance stored in a checkpoint, and what it says about the run that loads it."""

import hashlib
import logging
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from fastreid.config import CfgNode

from vireid_plugins.config.model_selection import VALIDATION
from vireid_plugins.config.node import ABSENT, changes
from vireid_plugins.config.plugin_files import loaded_files
from vireid_plugins.data.datasets import OwnFolder, build_options
from vireid_plugins.data.torch_datasets import TrainImages
from vireid_plugins.engine.bound_keys import DIVISION, FREE, SCORE, feature_keys, network_keys, refused_on_resume
from vireid_plugins.errors import DataError
from vireid_plugins.modeling.backbones.pretrained import max_pool_of
from vireid_plugins.modeling.fit import listed

logger = logging.getLogger("fastreid." + __name__)
MAX_POOL = "MODEL.STREAMS.MAX_POOL"
# Provenance that must be equal to resume a run, with descriptions for messages.
BINDING = {
    "meta_architecture": "MODEL.META_ARCHITECTURE",
    "datasets": "DATASETS.NAMES",
    "num_classes": "the number of training identities",
    "images": "the number of training images",
    "digest": "the list of training images and labels",
}


def training_facts(cfg: CfgNode, train: TrainImages, identities: bool = True) -> dict[str, Any]:
    """Return the provenance of a training: its data, splits, protocols and configuration.

    Args:
        cfg: the configuration.
        train: the training images.
        identities: whether it reads their identities.
    """
    return {
        "datasets": list(cfg.DATASETS.NAMES),
        "splits": splits_of(cfg, cfg.DATASETS.NAMES),
        "chosen_on": "the validation identities" if cfg.DATASETS.TESTS[:1] == (VALIDATION,) else "the test set",
        "num_classes": int(cfg.MODEL.HEADS.NUM_CLASSES),
        "protocols": list(cfg.TEST.PROTOCOLS),
        "images": len(train),
        "digest": _digest(train, identities),
        **({} if identities else {"identities": "not read"}),
        **network_facts(cfg),
    }


def network_facts(cfg: CfgNode) -> dict[str, Any]:
    """Return the provenance of a network: its method, its configuration, and what `auto` in it stands for."""
    # The only backbone whose max-pooling has two forms.
    names = (cfg.MODEL.BACKBONE.NAME, cfg.MODEL.STREAMS.BACKBONE)
    two_forms = names == ("build_multi_stream_backbone", "build_resnet_backbone")
    facts: dict[str, Any] = {"meta_architecture": cfg.MODEL.META_ARCHITECTURE, "config": cfg.dump()}
    if files := loaded_files():
        facts["plugins"] = files
    return facts | ({"max_pool": max_pool_of(cfg)} if two_forms else {})


def splits_of(cfg: CfgNode, names: Iterable[str]) -> dict[str, int]:
    """Return the configured split of each of the data sets `names` that has splits."""
    options = {name: build_options(cfg, name) for name in names}
    return {name: int(option["split"]) for name, option in options.items() if "split" in option}


def check_resumed(file: str, then: Mapping[str, Any], now: Mapping[str, Any]) -> None:
    """Compare the provenance of a checkpoint with that of the run that resumes it, and log the keys that differ.

    Args:
        file: the checkpoint.
        then: its provenance; entries and keys that older checkpoints lack are not compared.
        now: provenance of this run.

    Raises:
        DataError: the data, or keys that a checkpoint binds, differ; or the provenance cannot be read.
    """
    changed = _changes(file, then, now)
    bound = refused_on_resume({key: pair for key, pair in changed.items() if ABSENT not in pair})
    names = {name: (then[key], now[key]) for key, name in BINDING.items() if then.get(key, now[key]) != now[key]}
    names |= {key: changed[key] for key in bound}
    if names:
        mismatches = [f"{name} is {after}, was {before}" for name, (before, after) in names.items()]
        others = [line for line in _lines(changed) if line.partition(":")[0] not in names]
        keys = f"; keys that differ: {', '.join(others)}" if others else ""
        raise DataError(
            f"checkpoint '{file}' cannot be resumed: {'; '.join(mismatches)}{keys}. Restore the data and keys of the "
            "run, or start a new run from the checkpoint: without --resume, with MODEL.WEIGHTS and another OUTPUT_DIR"
        )
    if changed:
        logger.warning("the resumed run has different keys: %s", ", ".join(_lines(changed)))


def other_network(file: str, then: Mapping[str, Any], now: Mapping[str, Any]) -> str:
    """Return a clause that lists the network's keys that differ, or an empty string if none is known.

    Args:
        file: the checkpoint.
        then: its provenance.
        now: provenance of the network to fill; see `network_facts`.

    Raises:
        DataError: the provenance cannot be read.
    """
    changed = _changes(file, then, now)
    keys = _lines({key: changed[key] for key in network_keys(changed)})
    method, own = then.get("meta_architecture"), now.get("meta_architecture")
    if not keys and method != own and method:
        keys = [f"{BINDING['meta_architecture']}: {method} -> {own}"]
    return f"; keys in the checkpoint -> keys now: {listed(keys)}" if keys else ""


def other_features(file: str, then: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    """Return `KEY: before -> after` for the keys that change the features of the weights.

    Args:
        file: the checkpoint.
        then: its provenance; keys that it lacks are not compared.
        now: provenance of the network to fill; see `network_facts`.

    Raises:
        DataError: the provenance cannot be read.
    """
    changed = {key: pair for key, pair in _changes(file, then, now).items() if ABSENT not in pair}
    return _lines({key: changed[key] for key in feature_keys(changed)})


def other_score(file: str, then: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    """Return `KEY: before -> after` for the keys with which the score of the best checkpoint is another one.

    The arguments and errors are those of `other_features`.
    """
    changed = _changes(file, then, now, free=())
    return _lines({key: pair for key, pair in changed.items() if key.startswith(SCORE) and ABSENT not in pair})


def other_division(file: str, then: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    """Return `KEY: before -> after` for the keys that draw other test identities from the images of a checkpoint.

    Args:
        file: the checkpoint.
        then: its provenance; nothing is returned if it was not trained on images of one's own, or on other ones.
        now: provenance of the network to fill; see `network_facts`.

    Raises:
        DataError: the provenance cannot be read.
    """
    if OwnFolder.__name__ not in then.get("datasets", ()):
        return []
    changed = {key: pair for key, pair in _changes(file, then, now).items() if ABSENT not in pair}
    elsewhere = any(key in changed for key in ("DATASETS.OWN.ROOT", "DATASETS.OWN.CSV"))
    return [] if elsewhere else _lines({key: changed[key] for key in DIVISION if key in changed})


def _changes(
    file: str, then: Mapping[str, Any], now: Mapping[str, Any], free: Sequence[str] = FREE
) -> dict[str, tuple[Any, Any]]:
    """Return the keys that differ, with the max-pooling that `auto` stands for."""
    if "config" not in then or "config" not in now:
        return {}
    try:
        changed = changes(then["config"], now["config"], free)
    except (ValueError, RecursionError) as error:
        raise DataError(f"checkpoint '{file}': the configuration in its 'vireid' cannot be read: {error}") from None
    if "max_pool" in then and "max_pool" in now:
        changed.pop(MAX_POOL, None)
        if then["max_pool"] != now["max_pool"]:
            changed[MAX_POOL] = (then["max_pool"], now["max_pool"])
    return changed


def _lines(changed: Mapping[str, tuple[Any, Any]]) -> list[str]:
    return [f"{key}: {before} -> {after}" for key, (before, after) in changed.items()]


def _digest(train: TrainImages, identities: bool) -> str:
    """Return a digest of the list of training images that does not depend on the data root.

    Args:
        train: the images.
        identities: whether what is learned depends on their identities.
    """
    # The last three parts of a path are camera or modality, identity and image in all data sets.
    lines = []
    for (path, _, camera), target, modality in zip(train.items, train.targets, train.modalities, strict=True):
        name = "/".join(path.replace(chr(92), "/").rsplit("/", 3)[-3:])
        lines.append(f"{name} {target if identities else ''} {camera} {modality}\n")
    return hashlib.sha256("".join(lines).encode()).hexdigest()[:16]
