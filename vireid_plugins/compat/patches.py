"""The repairs of fast-reid that this package itself needs; `vireid_plugins.stock` has the others."""

import importlib
import importlib.util
import sys
import types
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.error import URLError

import fastreid
import torch
from fastreid.engine import defaults
from fastreid.utils import comm
from torch import nn
from torch.nn.parallel import DistributedDataParallel

from vireid_plugins.compat.registry import Replacement, register_patch
from vireid_plugins.errors import ConfigError


def _wrapped(model: nn.Module, device_ids: list[int], **arguments: Any) -> DistributedDataParallel:
    on_cuda = next(model.parameters()).is_cuda
    with warnings.catch_warnings():
        # The argument `broadcast_buffers`, which fast-reid passes, has a new name in newer torch.
        warnings.simplefilter("ignore", FutureWarning)
        return DistributedDataParallel(model, device_ids=device_ids if on_cuda else None, **arguments)


@register_patch(
    "a model on a CPU cannot be wrapped in DistributedDataParallel, since device_ids are passed",
    "they are passed for a model on CUDA only",
    where="`fastreid/engine/defaults.py`, in `DefaultTrainer.__init__`.",
)
def ddp() -> list[Replacement]:
    """Return the names and their values."""
    return [Replacement(defaults, "DistributedDataParallel", _wrapped)]


def broadcast_buffers(model: nn.Module) -> None:
    """Give every process the buffers of the first one."""
    if comm.get_world_size() > 1:
        for buffer in model.buffers():
            torch.distributed.broadcast(buffer, src=0)


def _with_equal_buffers(evaluate: Callable[..., Any]) -> Callable[..., Any]:
    def evaluated(model: nn.Module, *rest: Any, **named: Any) -> Any:
        broadcast_buffers(model)
        return evaluate(model, *rest, **named)

    return evaluated


@register_patch(
    "with several processes each extracts its share of the features with batch statistics of its own",
    "the first process's statistics are sent to all before an evaluation",
    where="`fastreid/engine/defaults.py`: `DistributedDataParallel(broadcast_buffers=False)`, `DefaultTrainer.test`.",
)
def buffers() -> list[Replacement]:
    """Return the names and their values."""
    return [Replacement(defaults, "inference_on_dataset", _with_equal_buffers(defaults.inference_on_dataset))]


class _PackagedConfig:
    """pycls's global configuration, except that files named from the package's folder are found.

    Args:
        cfg: the configuration.
    """

    def __init__(self, cfg: Any) -> None:
        self._cfg = cfg

    def __getattr__(self, name: str) -> Any:
        return getattr(self._cfg, name)

    def merge_from_file(self, file: str) -> None:
        """Merge a file; `fastreid/...` is looked for beside the installed package."""
        self._cfg.merge_from_file(str(Path(fastreid.__file__).parent.parent / file))


@register_patch(
    "RegNet and EfficientNet read their YAML files relative to the working directory",
    "the files of the installed package are read",
    where="`fastreid/modeling/backbones/regnet/regnet.py:568`, `effnet.py:253`.",
)
def package_files() -> list[Replacement]:
    """Return the names and their values."""
    replacements = []
    for module_name, name in (("regnet", "regnet_cfg"), ("effnet", "effnet_cfg")):
        module = importlib.import_module(f"fastreid.modeling.backbones.regnet.{module_name}")
        replacements.append(Replacement(module, name, _PackagedConfig(getattr(module, name))))
    return replacements


def _download(url: str, output: str, quiet: bool = False) -> None:
    """Fetch a file of weights, as `gdown.download` is called by fast-reid."""
    advice = (
        f"fetch it by hand as {output}, or name a file in MODEL.BACKBONE.PRETRAIN_PATH, or train from scratch with "
        "MODEL.BACKBONE.PRETRAIN False"
    )
    if "drive.google.com" in url:
        raise ConfigError(f"MODEL.BACKBONE.PRETRAIN: {url} needs the package gdown: pip install gdown; or {advice}")
    try:
        torch.hub.download_url_to_file(url, output, progress=not quiet)
    except (URLError, OSError) as error:
        raise ConfigError(f"MODEL.BACKBONE.PRETRAIN: {url} cannot be fetched ({error}); {advice}") from None


@register_patch(
    "MODEL.BACKBONE.PRETRAIN needs the package gdown even for plain addresses",
    "torch fetches them; offline, and for Google Drive without gdown, a message says what to do",
    where="`fastreid/modeling/backbones/resnet.py:248` and four more; nothing is replaced where gdown is installed.",
)
def pretrain() -> list[Replacement]:
    """Return the names and their values."""
    if "gdown" in sys.modules or importlib.util.find_spec("gdown"):
        return [Replacement(sys.modules, "gdown", importlib.import_module("gdown"))]
    stand_in = types.ModuleType("gdown", "What fast-reid uses of the package gdown.")
    stand_in.download = _download  # type: ignore[attr-defined]
    return [Replacement(sys.modules, "gdown", stand_in)]
