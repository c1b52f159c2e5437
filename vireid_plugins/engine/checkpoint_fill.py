"""Fill a network from the weights of a checkpoint: everything, or an error that names what is missing."""

import logging
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from vireid_plugins.engine.checkpoint_content import BrokenCheckpointError
from vireid_plugins.engine.provenance import other_division, other_network
from vireid_plugins.errors import DataError
from vireid_plugins.modeling.backbones.timm_pieces import TimmTokens
from vireid_plugins.modeling.backbones.vit import TokenEmbedding
from vireid_plugins.modeling.backbones.vit_weights import resized_positions
from vireid_plugins.modeling.fit import Fit, fit, listed

logger = logging.getLogger("fastreid." + __name__)
# Weights with one row per identity; fast-reid's own meta-architectures have a single head without a name.
CLASSIFIER = re.compile(r"heads\.(\w+\.)?weight")
# Buffers in checkpoints of older fast-reid releases; the configuration sets them now.
CONFIGURED = ("pixel_mean", "pixel_std")


def fit_model(model: nn.Module, file: Path, given: Mapping[str, Tensor]) -> Fit:
    """Compare the weights of a checkpoint with a model's.

    Args:
        model: the model.
        file: the checkpoint, for messages.
        given: its weights by name.

    Raises:
        BrokenCheckpointError: a weight is not finite, or not of the model's kind of numbers.
    """
    tensors = {name: value for name, value in given.items() if name not in CONFIGURED}
    for name, module in model.named_modules():
        # Positions of a ViT that was trained at another image size.
        if not isinstance(module, TokenEmbedding | TimmTokens):
            continue
        if (key := f"{name}.pos_embed") in tensors and tensors[key].ndim == 3:
            tensors[key] = resized_positions(tensors[key], module.grid, str(file))
    try:
        return fit(model.state_dict(), tensors, f"checkpoint '{file}'")
    except DataError as error:
        raise BrokenCheckpointError(str(error)) from None


def fill_model(
    model: nn.Module,
    file: Path,
    checkpoint: Mapping[str, Any],
    facts: Mapping[str, Any],
    *,
    resumed: bool = False,
    partial: bool = False,
) -> None:
    """Fill a model, or raise an error and leave the model unchanged.

    Args:
        model: the model.
        file: the checkpoint, for messages.
        checkpoint: its content.
        facts: provenance of the model; see `network_facts`.
        resumed: a run is resumed, so that also its classifiers must fit.
        partial: accept weights that do not fill the model, except to resume a run.

    Raises:
        BrokenCheckpointError: see `fit_model`.
        DataError: the weights do not fill the model.
    """
    result = fit_model(model, file, checkpoint["model"])
    if not result.fitting:
        raise DataError(f"checkpoint '{file}' contains no weights of this network: {result}")
    others = [] if resumed else classifiers_of_others(result)
    # Of a method without classifiers, such as one that learns without labels from the weights of one with them.
    dropped = [] if resumed else [name for name in result.unused if CLASSIFIER.fullmatch(name)]
    if set(result.unfilled) - set(others) or set(result.unused) - set(dropped):
        then = checkpoint.get("vireid", {})
        text = f"checkpoint '{file}' does not fill the network: {result}{other_network(str(file), then, facts)}"
        _require_partial(text, result, resumed, partial)
    model.load_state_dict(result.fitting, strict=False)
    new = [
        f"{name} ({result.shapes[name][0][0] if name in result.shapes else 'no'} identities in the file)"
        if name in others
        else name
        for name in result.unfilled
    ]
    total, rest = len(result.fitting) + len(new), f"; new: {listed(new)}" if new else ""
    rest += f"; classifiers that the network lacks: {listed(dropped)}" if dropped else ""
    logger.info("%d of %d tensors loaded from %s%s", len(result.fitting), total, file, rest)


def _require_partial(text: str, result: Fit, resumed: bool, partial: bool) -> None:
    """Raise a `DataError` unless a partial fill is accepted; log a warning if it is."""
    if resumed:
        raise DataError(f"{text}. A run can only be resumed with the same network")
    if not partial:
        raise DataError(
            f"{text}. Use the configuration that it was trained with (config.yaml in its folder), or accept a "
            "partial fill with MODEL.WEIGHTS_PARTIAL True"
        )
    logger.warning("%s; what it does not fill keeps its initial weights: %s", text, listed(result.unfilled) or "-")


def check_splits(file: Path, then: Mapping[str, Any], facts: Mapping[str, Any], splits: Mapping[str, int]) -> None:
    """Raise a `DataError` if a checkpoint was trained on identities that it would be tested on here.

    Args:
        file: the checkpoint, for messages.
        then: its provenance.
        facts: provenance of this run.
        splits: splits that are trained or tested here, by data set.
    """
    if drawn := other_division(str(file), then, facts):
        raise DataError(
            f"checkpoint '{file}' was trained on other identities of these images, then -> now: "
            f"{', '.join(drawn)}. It would be tested on identities it was trained on; set the keys as they were"
        )
    trained = then.get("splits", {})
    for name, split in splits.items():
        if trained.get(name, split) != split:
            raise DataError(
                f"checkpoint '{file}' was trained on split {trained[name]} of {name}, but split {split} is "
                "configured. The splits share identities, so it would be tested on identities it was trained on. "
                f"Set DATASETS.REGDB.SPLIT to {trained[name]}, or use a checkpoint of split {split}"
            )
        # A run on other data sets has no split of this one. What it was started from is not looked at.
        elsewhere = isinstance(datasets := then.get("datasets"), list) and name not in datasets
        if name not in trained and not elsewhere:
            logger.warning("%s has no record of a split of %s that it was trained on", file, name)


def classifiers_of_others(result: Fit) -> list[str]:
    """Return the classifiers that a checkpoint lacks, or has for a different number of identities."""
    resized = [name for name, (in_file, in_model) in result.shapes.items() if in_file[1:] == in_model[1:]]
    return [name for name in (*result.missing, *resized) if CLASSIFIER.fullmatch(name)]
