"""Weights a backbone starts from: torchvision's, fast-reid's, or a local file."""

import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast
from urllib.error import URLError

import torch
from fastreid.config import CfgNode
from fastreid.modeling.backbones.build import BACKBONE_REGISTRY
from torch import Tensor, nn

from vireid_plugins.compat import patch
from vireid_plugins.compat.weight_file import read_weight_file
from vireid_plugins.errors import ConfigError

logger = logging.getLogger("fastreid." + __name__)
# AGW-style code keeps a whole ResNet for each stem, of which the first layers are used, and one for what is shared.
AGW_PREFIXES = ("visible_module.visible.", "thermal_module.thermal.", "base_resnet.base.")
STEM = ("conv1.", "bn1.")
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
        return sorted_out(read_weight_file(Path(path)), path)
    plain = not (cfg.MODEL.BACKBONE.WITH_IBN or cfg.MODEL.BACKBONE.WITH_SE)
    if plain and cfg.MODEL.STREAMS.BACKBONE == "build_resnet_backbone":
        return _from_torchvision(cfg)
    return _from_fastreid(cfg)


def sorted_out(content: Mapping[str, object], source: str) -> Weights:
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
        stem = {name: value for name, value in visible.items() if name.startswith(STEM)}
        infrared = {name: value for name, value in thermal.items() if name.startswith(STEM)}
        return Weights({**shared, **stem}, source, infrared_stem=infrared)
    own = {name.removeprefix("backbone."): value for name, value in tensors.items() if name.startswith("backbone.")}
    if own:
        return Weights(own, source, max_pool="fastreid")
    return Weights({name: value for name, value in tensors.items() if not name.startswith("fc.")}, source)


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
    return sorted_out(read_weight_file(Path(path)), path).max_pool


def load_pretrained(backbone: nn.Module, weights: Weights) -> None:
    """Fill `backbone` with what fits.

    Raises:
        ConfigError: nothing fits.
    """
    own = backbone.state_dict()
    fitting = {n: value for n, value in weights.tensors.items() if n in own and own[n].shape == value.shape}
    if not fitting:
        raise ConfigError(
            f"MODEL.BACKBONE.PRETRAIN_PATH: no weight of '{weights.source}' fits {type(backbone).__name__}"
        )
    backbone.load_state_dict(fitting, strict=False)
    missing = [name for name in own if name not in fitting and not name.endswith("num_batches_tracked")]
    logger.info(
        "pretrained weights from %s: %d tensors loaded, %d of the backbone not in it%s",
        weights.source,
        len(fitting),
        len(missing),
        f" ({', '.join(missing[:5])} ...)" if missing else "",
    )


def load_infrared_stems(copies: nn.ModuleList, weights: Weights) -> None:
    """Fill the infrared copies of a ResNet's stem, where the file has a stem of their own."""
    if weights.infrared_stem and len(copies) == 1:
        logger.info("the infrared stem of %s is not used: MODEL.STREAMS.COUNT is 1", weights.source)
        return
    stages = cast(list[Any], list(copies)[len(copies) // 2 :] if weights.infrared_stem else [])
    for stage in stages:
        for prefix, module in zip(STEM, stage.blocks[:2], strict=True):
            state = {n[len(prefix) :]: t for n, t in weights.infrared_stem.items() if n.startswith(prefix)}
            module.load_state_dict(state)


def _from_torchvision(cfg: CfgNode) -> Weights:
    from torchvision.models import get_model_weights  # only here: importing all its models takes a second

    url = get_model_weights(f"resnet{cfg.MODEL.BACKBONE.DEPTH.rstrip('x')}")["IMAGENET1K_V1"].url
    try:
        return sorted_out(torch.hub.load_state_dict_from_url(url, map_location="cpu"), url)
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
    try:
        backbone: nn.Module = BACKBONE_REGISTRY.get(name)(asked)
    except (URLError, OSError, KeyError) as error:
        raise ConfigError(
            f"MODEL.BACKBONE.PRETRAIN: fast-reid has no weights for {name} {cfg.MODEL.BACKBONE.DEPTH} that can be "
            f"fetched ({error}); {ADVICE}"
        ) from None
    return Weights(backbone.state_dict(), f"fast-reid's address for {name}")
