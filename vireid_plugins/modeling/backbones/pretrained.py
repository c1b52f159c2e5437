"""ImageNet weights for a ResNet: torchvision's, or a local file."""

import logging
from pathlib import Path
from urllib.error import URLError

import torch
from fastreid.config import CfgNode
from torch import Tensor, nn

from vireid_plugins.compat.weight_file import read_weight_file
from vireid_plugins.errors import ConfigError

logger = logging.getLogger("fastreid." + __name__)


def load_pretrained(backbone: nn.Module, cfg: CfgNode) -> None:
    """Fill `backbone` from `MODEL.BACKBONE.PRETRAIN_PATH`, or, where that is empty, from torchvision's weights.

    Raises:
        ConfigError: no weight of the file fits, or there is no network.
        DataError: the file cannot be read.
    """
    path = cfg.MODEL.BACKBONE.PRETRAIN_PATH
    weights = _from_file(Path(path)) if path else _from_torchvision(cfg)
    weights = {name: value for name, value in weights.items() if not name.startswith("fc.")}
    own = backbone.state_dict()
    fitting = {name: value for name, value in weights.items() if name in own and own[name].shape == value.shape}
    source = path or "torchvision"
    if not fitting:
        raise ConfigError(f"MODEL.BACKBONE.PRETRAIN_PATH: no weight of '{source}' fits {type(backbone).__name__}")
    backbone.load_state_dict(fitting, strict=False)
    missing = [name for name in own if name not in fitting and not name.endswith("num_batches_tracked")]
    logger.info(
        "pretrained weights from %s: %d tensors loaded, %d of the backbone not in it%s",
        source,
        len(fitting),
        len(missing),
        f" ({', '.join(missing[:5])} ...)" if missing else "",
    )


def _from_file(path: Path) -> dict[str, Tensor]:
    content = read_weight_file(path)
    for key in ("model", "state_dict"):
        content = content.get(key, content)
    return {str(name).removeprefix("module.").removeprefix("backbone."): value for name, value in content.items()}


def _from_torchvision(cfg: CfgNode) -> dict[str, Tensor]:
    from torchvision.models import get_model_weights  # only here: importing all its models takes a second

    name = f"resnet{cfg.MODEL.BACKBONE.DEPTH.rstrip('x')}"
    if (
        cfg.MODEL.BACKBONE.WITH_IBN
        or cfg.MODEL.BACKBONE.WITH_SE
        or cfg.MODEL.STREAMS.BACKBONE != "build_resnet_backbone"
    ):
        raise ConfigError(
            "MODEL.BACKBONE.PRETRAIN: torchvision has weights for plain ResNets only; name a file in "
            "MODEL.BACKBONE.PRETRAIN_PATH, or set MODEL.BACKBONE.PRETRAIN False"
        )
    url = get_model_weights(name)["IMAGENET1K_V1"].url
    try:
        state: dict[str, Tensor] = torch.hub.load_state_dict_from_url(url, map_location="cpu")
    except (URLError, OSError) as error:
        raise ConfigError(
            f"MODEL.BACKBONE.PRETRAIN: {url} cannot be fetched ({error}). Fetch it on a machine with a network and set "
            "MODEL.BACKBONE.PRETRAIN_PATH to the file, or train from scratch with MODEL.BACKBONE.PRETRAIN False"
        ) from None
    return state
