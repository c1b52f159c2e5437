"""Weights a backbone starts from: torchvision's, fast-reid's, or a local file.

They fill every parameter and running statistic of the backbone, or it is an error that says what is missing, unless
`MODEL.BACKBONE.PRETRAIN_PARTIAL` accepts that.
"""

import logging
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, cast
from urllib.error import URLError

import torch
from fastreid.config import CfgNode
from fastreid.modeling.backbones.build import BACKBONE_REGISTRY
from torch import Tensor, nn

from vireid_plugins.compat.registry import patch
from vireid_plugins.errors import ConfigError
from vireid_plugins.io.weight_file import read_weight_file
from vireid_plugins.modeling.backbones.names import renamed
from vireid_plugins.modeling.fit import Fit, fit, listed

logger = logging.getLogger("fastreid." + __name__)
# AGW-style code keeps a whole ResNet for each stem, of which the first layers are used, and one for what is shared.
AGW_PREFIXES = ("visible_module.visible.", "thermal_module.thermal.", "base_resnet.base.")
STEM = ("conv1.", "bn1.")
# Layers behind a backbone, which classify ImageNet.
CLASSIFIERS = ("fc.", "classifier.", "linear.", "head.fc.")
# fast-reid's own non-local blocks (MODEL.BACKBONE.WITH_NL) stand behind a backbone's blocks; weights of ImageNet have
# none.
NON_LOCAL = "NL_"
# What parts of a name tell about the network that it is of.
OPTIONS = {".IN.": "MODEL.BACKBONE.WITH_IBN", ".se.fc.": "MODEL.BACKBONE.WITH_SE"}
ADVICE = "set MODEL.BACKBONE.PRETRAIN_PATH to a file, or train from scratch with MODEL.BACKBONE.PRETRAIN False"


@dataclass(frozen=True)
class Weights:
    """Weights of a backbone that is not cut yet.

    Attributes:
        tensors: by name.
        source: for messages.
        max_pool: which padding they were trained with, `torchvision` or `fastreid`.
        infrared_stem: an infrared stem of its own, by the names of `tensors`.
    """

    tensors: Mapping[str, Tensor]
    source: str
    max_pool: str = "torchvision"
    infrared_stem: Mapping[str, Tensor] = field(default_factory=dict)


def read_pretrained(cfg: CfgNode) -> Weights:
    """Return the weights of `MODEL.BACKBONE.PRETRAIN_PATH`, or, where that is empty, those of the network.

    torchvision has plain ResNets; for the other backbones fast-reid's own addresses are used.

    Raises:
        ConfigError: there is no network, or nobody offers weights for this backbone.
        DataError: the file cannot be read.
    """
    path = cfg.MODEL.BACKBONE.PRETRAIN_PATH
    if path:
        return parse_state_dict(read_weight_file(Path(path)), path)
    plain = not (cfg.MODEL.BACKBONE.WITH_IBN or cfg.MODEL.BACKBONE.WITH_SE)
    if plain and cfg.MODEL.STREAMS.BACKBONE == "build_resnet_backbone":
        return _from_torchvision(cfg)
    return _from_fastreid(cfg)


def parse_state_dict(content: Mapping[str, object], source: str) -> Weights:
    """Return the weights in a file's content.

    Known are state dicts of torchvision's names, alone or below `state_dict`, `model_state` or `model`; fast-reid's
    checkpoints (`backbone.` before every name); AGW-style ones (below `net`: a visible and a thermal module, and a
    shared one).
    """
    for key in ("model", "state_dict", "model_state", "net"):
        inner = content.get(key)
        content = inner if isinstance(inner, Mapping) else content
    tensors = {str(name).removeprefix("module."): value for name, value in content.items() if isinstance(value, Tensor)}
    visible, thermal, shared = ({n[len(p) :]: t for n, t in tensors.items() if n.startswith(p)} for p in AGW_PREFIXES)
    if shared:
        stem, infrared = ({n: t for n, t in part.items() if n.startswith(STEM)} for part in (visible, thermal))
        # The stem of the shared ResNet is a copy that nothing trains.
        stages = {name: value for name, value in shared.items() if not (visible and name.startswith(STEM))}
        return Weights({**stages, **stem}, source, infrared_stem=infrared)
    own = {name.removeprefix("backbone."): value for name, value in tensors.items() if name.startswith("backbone.")}
    if own:
        return Weights(own, source, max_pool="fastreid")
    return Weights(tensors, source)


def max_pool_of(cfg: CfgNode) -> str:
    """Return `MODEL.STREAMS.MAX_POOL`, with `auto` resolved: the padding that the pretrained weights were trained with.

    It does not depend on `MODEL.BACKBONE.PRETRAIN`, so that a trained model is scored with the padding it was trained
    with.

    Raises:
        ConfigError: it stands in a file that is not there.
    """
    choice: str = cfg.MODEL.STREAMS.MAX_POOL
    if choice != "auto":
        return choice
    path = cfg.MODEL.BACKBONE.PRETRAIN_PATH
    if not path:
        # Also the weights that fast-reid has addresses of were trained so: its own form is not their authors'.
        return "torchvision"
    if not Path(path).is_file():
        raise ConfigError(
            f"MODEL.STREAMS.MAX_POOL: auto looks into MODEL.BACKBONE.PRETRAIN_PATH '{path}', which does not exist; set "
            "it to torchvision or fastreid"
        )
    return parse_state_dict(read_weight_file(Path(path)), path).max_pool


def load_pretrained(backbone: nn.Module, weights: Weights, cfg: CfgNode) -> None:
    """Fill `backbone`, which `MODEL.STREAMS.BACKBONE` has built and which is not cut yet.

    Raises:
        ConfigError: nothing fits, or something is left over on either side and `MODEL.BACKBONE.PRETRAIN_PARTIAL` is
            False.
    """
    name = cfg.MODEL.STREAMS.BACKBONE
    names = renamed(name, weights.tensors)
    found = fit(backbone.state_dict(), {names[given]: value for given, value in weights.tensors.items()})
    key = "MODEL.BACKBONE.PRETRAIN_PATH" if cfg.MODEL.BACKBONE.PRETRAIN_PATH else "MODEL.BACKBONE.PRETRAIN"
    what = f"'{weights.source}' for {name} (MODEL.STREAMS.BACKBONE) {cfg.MODEL.BACKBONE.DEPTH} (MODEL.BACKBONE.DEPTH)"
    if not found.fitting:
        more = "".join(_hints(found, weights.tensors))
        raise ConfigError(f"{key}: no weight of {what} fits; the file has {listed(list(weights.tensors))}{more}")
    found = _concerning(found, backbone, {new: given for given, new in names.items()})
    _require_whole(found, f"{key}: {what}", cfg, _hints(found, weights.tensors))
    backbone.load_state_dict(found.fitting, strict=False)
    rest = f"; not used: {listed(found.unused)}" if found.unused else ""
    logger.info("pretrained weights from %s: %d of %d tensors%s", weights.source, len(found.fitting), found.total, rest)


def load_infrared_stems(copies: nn.ModuleList, weights: Weights, cfg: CfgNode) -> None:
    """Fill the infrared copies of a ResNet's stem, where the file has a stem of their own.

    Raises:
        ConfigError: it does not fill them and `MODEL.BACKBONE.PRETRAIN_PARTIAL` is False.
    """
    if weights.infrared_stem and len(copies) == 1:
        logger.info("the infrared stem of %s is not used: MODEL.STREAMS.COUNT is 1", weights.source)
        return
    stages = cast(list[Any], list(copies)[len(copies) // 2 :] if weights.infrared_stem else [])
    for stage in stages:
        stem = nn.ModuleDict({prefix.rstrip("."): part for prefix, part in zip(STEM, stage.blocks[:2], strict=True)})
        found = fit(stem.state_dict(), weights.infrared_stem)
        what = f"MODEL.BACKBONE.PRETRAIN_PATH: the infrared stem in '{weights.source}' ({AGW_PREFIXES[1]})"
        _require_whole(found, what, cfg)
        stem.load_state_dict(found.fitting, strict=False)


def _require_whole(found: Fit, what: str, cfg: CfgNode, hints: Sequence[str] = ()) -> None:
    """Raise unless nothing is left over, or a partial fill is accepted; then it is a warning."""
    left = found.unfilled or found.unused
    if not left:
        return
    more = "".join(hints)
    if not cfg.MODEL.BACKBONE.PRETRAIN_PARTIAL:
        raise ConfigError(
            f"{what}: {found}{more}. Set the keys of the network that the weights are of, name other weights, or "
            "accept a partial fill with MODEL.BACKBONE.PRETRAIN_PARTIAL True"
        )
    logger.warning("%s: %s%s; what is not filled starts at random", what, found, more)


def _concerning(found: Fit, backbone: nn.Module, called: Mapping[str, str]) -> Fit:
    """Return what has to fit, unused tensors as the file calls them (`called`).

    That is neither a classifier, nor other modules of a whole network, nor non-local blocks where the file has none.
    What the file has inside a part that the backbone has too, as `layer3.7`, is of another network.
    """
    parts = {name.partition(".")[0] for name, _ in backbone.named_children()}
    strange = [n for n in found.unused if n.partition(".")[0] in parts and not n.startswith(CLASSIFIERS)]
    known = any(name.startswith(NON_LOCAL) for name in (*found.fitting, *found.shapes))
    missing = [name for name in found.missing if known or not name.startswith(NON_LOCAL)]
    return replace(found, missing=tuple(missing), unused=tuple(called[name] for name in strange))


def _hints(found: Fit, given: Mapping[str, Tensor]) -> list[str]:
    """Return what names tell about a network that the file does not fit."""
    hints = []
    for part, key in OPTIONS.items():
        if any(part in name for name in found.unused):
            hints.append(f"; the file's network was built with {key} True")
        elif any(part in name for name in found.missing):
            hints.append(f"; the file's network was built with {key} False")
    if any(name.startswith(("stem.copies.", "stages.stage")) for name in given):
        hints.append("; it is a checkpoint of this package: name it in MODEL.WEIGHTS")
    return hints


def _from_torchvision(cfg: CfgNode) -> Weights:
    from torchvision.models import get_model_weights  # only here: importing all its models takes a second

    url = get_model_weights(f"resnet{cfg.MODEL.BACKBONE.DEPTH.rstrip('x')}")["IMAGENET1K_V1"].url
    try:
        return parse_state_dict(torch.hub.load_state_dict_from_url(url, map_location="cpu"), url)
    except (URLError, OSError) as error:
        raise ConfigError(
            f"MODEL.BACKBONE.PRETRAIN: {url} cannot be fetched ({error}). Fetch it on a machine with a network and "
            f"{ADVICE}"
        ) from None


def _from_fastreid(cfg: CfgNode) -> Weights:
    """Let fast-reid's builder fetch what it knows an address of."""
    patch(only=["pretrain"])
    name = cfg.MODEL.STREAMS.BACKBONE
    asked = cfg.clone()
    asked.defrost()
    asked.MODEL.BACKBONE.PRETRAIN = True
    with _loads_recorded() as read:
        try:
            BACKBONE_REGISTRY.get(name)(asked)
        except (URLError, OSError, KeyError, RuntimeError) as error:
            # Once the weights are there, it can only be that they do not fit, which is said with more words below.
            if not read:
                raise ConfigError(
                    f"MODEL.BACKBONE.PRETRAIN: fast-reid has no weights for {name} {cfg.MODEL.BACKBONE.DEPTH} that can "
                    f"be fetched ({error}); {ADVICE}"
                ) from None
    if not read:
        raise ConfigError(f"MODEL.BACKBONE.PRETRAIN: {name} has no weights of its own; {ADVICE}")
    # fast-reid loads what fits, and goes on with the rest at random.
    return parse_state_dict(read[-1], f"fast-reid's address for {name}")


@contextmanager
def _loads_recorded() -> Iterator[list[Any]]:
    """Keep what `torch.load` returns inside a `with` block."""
    read: list[Any] = []
    load = torch.load

    def recorded(*args: Any, **keywords: Any) -> Any:
        read.append(load(*args, **keywords))
        return read[-1]

    torch.load = recorded
    try:
        yield read
    finally:
        torch.load = load
