"""Weights of timm's networks from files, in the form into which timm itself brings them."""

import logging
import sys
from collections.abc import Mapping
from typing import Any

from fastreid.config import CfgNode
from torch import Tensor

from vireid_plugins.errors import ConfigError

logger = logging.getLogger("fastreid." + __name__)


def prepared_timm(backbone: Any, given: Mapping[str, Tensor], cfg: CfgNode) -> dict[str, Tensor]:
    """Return the tensors of a file by the names and in the shapes of a network of timm, without classifiers.

    timm resizes positions of another grid, among others. A WARNING says if images are normalized otherwise than in the
    training of timm's weights.

    Args:
        backbone: the network, not yet cut.
        given: the file's tensors.
        cfg: the configuration.

    Raises:
        ConfigError: timm cannot convert the file.
    """
    name, known, own = cfg.MODEL.TIMM.NAME, backbone.pretrained_cfg, backbone.state_dict()
    for key, values in (("MODEL.PIXEL_MEAN", known.get("mean")), ("MODEL.PIXEL_STD", known.get("std"))):
        wanted, have = [round(255 * value, 3) for value in values or ()], list(cfg.MODEL[key.rpartition(".")[2]])
        if wanted and max(abs(a - b) for a, b in zip(wanted, have, strict=True)) > 1:
            logger.warning("%s: timm's weights of %s were trained with %s, not %s", key, name, wanted, have)
    convert = getattr(sys.modules[type(backbone).__module__], "checkpoint_filter_fn", None)
    try:
        tensors = dict(convert(dict(given), backbone) if convert else given)
    except Exception as error:  # timm does not check what it converts
        raise ConfigError(
            f"MODEL.BACKBONE.PRETRAIN_PATH: timm cannot convert the file for {name} (MODEL.TIMM.NAME): {error}"
        ) from None
    classifiers = known.get("classifier") or ()
    classifiers = (classifiers,) if isinstance(classifiers, str) else classifiers
    tensors = {key: value for key, value in tensors.items() if key.rpartition(".")[0] not in classifiers}
    if "norm.weight" in own and "norm.weight" not in tensors:
        # A norm behind the pooling.
        tensors = {key.replace("fc_norm.", "norm."): value for key, value in tensors.items()}
    return tensors
