"""Weights of timm's networks from files, as timm itself converts them."""

import logging
import sys
from collections.abc import Mapping
from typing import Any

from fastreid.config import CfgNode
from torch import Tensor

from vireid_plugins.errors import ConfigError

logger = logging.getLogger("fastreid." + __name__)


def prepared_timm(backbone: Any, given: Mapping[str, Tensor], cfg: CfgNode) -> dict[str, Tensor]:
    """Return the tensors of a file in the form that a network of timm has, by timm's own conversion.

    Positions of another grid are resized as timm does. A norm behind the pooling becomes the last norm.

    Args:
        backbone: the network, not yet cut.
        given: the file's tensors.
        cfg: the configuration; a WARNING says so if it normalizes images otherwise than the weights expect.
    """
    known = backbone.pretrained_cfg
    for key, name in (("MODEL.PIXEL_MEAN", "mean"), ("MODEL.PIXEL_STD", "std")):
        wanted = [round(255 * value, 3) for value in known.get(name) or ()]
        have = list(cfg.MODEL.PIXEL_MEAN if name == "mean" else cfg.MODEL.PIXEL_STD)
        if wanted and max(abs(a - b) for a, b in zip(wanted, have, strict=True)) > 1:
            logger.warning("%s: timm's weights of %s expect %s, got %s", key, cfg.MODEL.TIMM.NAME, wanted, have)
    convert = getattr(sys.modules[type(backbone).__module__], "checkpoint_filter_fn", None)
    try:
        tensors = dict(convert(dict(given), backbone) if convert else given)
    except Exception as error:  # timm checks nothing of what it converts
        raise ConfigError(
            f"MODEL.BACKBONE.PRETRAIN_PATH: timm cannot convert the file for {cfg.MODEL.TIMM.NAME} ({error})"
        ) from None
    classifiers = known.get("classifier") or ()
    classifiers = (classifiers,) if isinstance(classifiers, str) else classifiers
    tensors = {n: t for n, t in tensors.items() if not n.startswith(tuple(f"{name}." for name in classifiers))}
    if "norm.weight" in backbone.state_dict() and "norm.weight" not in tensors:
        tensors = {n.replace("fc_norm.", "norm."): t for n, t in tensors.items()}
    return tensors
