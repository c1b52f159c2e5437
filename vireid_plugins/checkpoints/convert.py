"""Renames the parameters of public VI-ReID checkpoints to this package's, by the rules of a layout."""

import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from fastreid.modeling.meta_arch import build_model
from torch import Tensor

from vireid_plugins.checkpoints.layouts import LAYOUTS
from vireid_plugins.config import config_path, get_cfg
from vireid_plugins.errors import DataError, require_name
from vireid_plugins.io.files import write_atomic
from vireid_plugins.io.weight_file import named_tensors, read_weight_file
from vireid_plugins.modeling.fit import fit


@dataclass(frozen=True)
class Conversion:
    """A converted checkpoint.

    Attributes:
        weights: parameters and buffers by this package's names.
        used: old key -> new key.
        unused: keys of copies that the code base carries and never uses.
        missing: this package's keys that nothing fills.
    """

    weights: dict[str, Tensor]
    used: dict[str, str]
    unused: list[str]
    missing: list[str]


def convert(layout: str, weights: Mapping[str, Tensor], overrides: Sequence[str] = ()) -> Conversion:
    """Rename the weights of a layout.

    Args:
        layout: a name in LAYOUTS.
        weights: as the code base's `state_dict()`.
        overrides: keys and values that differ from the layout's configuration: for a MSCMNet of another image size
            `INPUT.SIZE_TRAIN` and `INPUT.SIZE_TEST`. The number of identities follows the classifier.

    Raises:
        ConfigError: no layout has that name, or a key or value of `overrides` is wrong.
        DataError: a key is not of this layout, a shape or type is not the network's, or values are infinite or NaN; the
            message names it.
    """
    require_name("layout", layout, LAYOUTS)
    chosen = LAYOUTS[layout]
    if chosen.classifier not in weights or not weights[chosen.classifier].ndim:
        raise DataError(f"the checkpoint has no '{chosen.classifier}': it is not of the layout {layout}")
    own = _network(chosen.config, len(weights[chosen.classifier]), overrides).state_dict()
    used: dict[str, str] = {}
    unused: list[str] = []
    for key in weights:
        name = renamed(key, layout)
        if name is None:
            unused.append(key)
            continue
        if name not in own or own[name].shape != weights[key].shape:
            expected = tuple(own[name].shape) if name in own else "nothing of that name"
            raise DataError(
                f"'{key}' {tuple(weights[key].shape)} would become '{name}', for which the network of {chosen.config} "
                f"has {expected}"
            )
        used[key] = name
    converted = {name: weights[key] for key, name in used.items()}
    matched = fit(own, converted, "the checkpoint")
    if matched.types:
        raise DataError(f"the checkpoint does not fit: {matched}")
    return Conversion(converted, used, unused, sorted(set(own) - set(converted)))


def convert_file(layout: str, source: Path, target: Path, overrides: Sequence[str] = ()) -> Conversion:
    """Convert a checkpoint file to one that `MODEL.WEIGHTS` takes.

    Args:
        layout: a key of `LAYOUTS`: whose code wrote it.
        source: the checkpoint.
        target: what is written.
        overrides: see `convert`.

    Raises:
        ConfigError: no layout has that name, or a key or value of `overrides` is wrong.
        DataError: the file cannot be read, is not of the layout, or leaves a weight of the network unfilled; or the
            target exists.
    """
    _require_new(target, source)
    weights = named_tensors(read_weight_file(source))
    try:
        found = convert(layout, weights, overrides)
    except DataError as error:
        raise DataError(f"'{source}': {error}") from None
    if found.missing:
        raise DataError(f"'{source}' lacks {len(found.missing)} weights of the network, the first: {found.missing[0]}")
    classes = len(weights[LAYOUTS[layout].classifier])
    _require_new(target, source)
    with write_atomic(target) as stream:
        torch.save({"model": found.weights, "vireid": {"num_classes": classes, "converted_from": layout}}, stream)
    return found


def _require_new(target: Path, source: Path) -> None:
    """Raise unless nothing of that name exists, not even a link to nothing."""
    if not os.path.lexists(target):
        return
    same = target.exists() and source.exists() and target.samefile(source)
    raise DataError(
        f"'{target}' {'is the source' if same else 'exists'} and would be overwritten; choose another target for the "
        "converted checkpoint"
    )


def renamed(key: str, layout: str) -> str | None:
    """Return the new name of a key of a layout, None for an unused copy.

    Raises:
        DataError: the key is not of the layout.
    """
    for pattern, replacement in LAYOUTS[layout].rules:
        match = re.fullmatch(pattern, key)
        if match:
            # <n> counts from 1 in the code base and from 0 here.
            name = None if replacement is None else match.expand(replacement)
            return name and re.sub(r"<(\d)>", lambda number: str(int(number[1]) - 1), name)
    raise DataError(f"'{key}' is not a key of the layout {layout}; there are {', '.join(LAYOUTS)}")


def _network(config: str, classes: int, overrides: Sequence[str]) -> torch.nn.Module:
    cfg = get_cfg()
    cfg.merge_from_file(config_path(config))
    cfg.merge_from_list(
        [
            *overrides,
            *("MODEL.BACKBONE.PRETRAIN", "False", "MODEL.DEVICE", "cpu", "MODEL.HEADS.NUM_CLASSES", str(classes)),
        ]
    )
    network: torch.nn.Module = build_model(cfg)
    return network
