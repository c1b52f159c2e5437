"""Patches of fast-reid that this package itself needs; the others are in `vireid_plugins.stock`."""

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
        # fast-reid passes `broadcast_buffers`, which newer torch versions rename.
        warnings.simplefilter("ignore", FutureWarning)
        return DistributedDataParallel(model, device_ids=device_ids if on_cuda else None, **arguments)


@register_patch(
    "a model on the CPU cannot be wrapped in DistributedDataParallel, because device_ids are passed",
    "device_ids are passed only for a model on CUDA",
    where="`fastreid/engine/defaults.py`, in `DefaultTrainer.__init__`.",
)
def ddp() -> list[Replacement]:
    """Return the replacements."""
    return [Replacement(defaults, "DistributedDataParallel", _wrapped)]


def broadcast_buffers(model: nn.Module) -> None:
    """Copy the first process's buffers to all processes."""
    if comm.get_world_size() > 1:
        for buffer in model.buffers():
            torch.distributed.broadcast(buffer, src=0)


def _with_equal_buffers(evaluate: Callable[..., Any]) -> Callable[..., Any]:
    def evaluated(model: nn.Module, *rest: Any, **named: Any) -> Any:
        broadcast_buffers(model)
        return evaluate(model, *rest, **named)

    return evaluated


@register_patch(
    "each of several processes extracts its share of the features with its own batch-norm statistics",
    "the first process's statistics are broadcast before an evaluation",
    where="`fastreid/engine/defaults.py`: `DistributedDataParallel(broadcast_buffers=False)`, `DefaultTrainer.test`.",
)
def buffers() -> list[Replacement]:
    """Return the replacements."""
    return [Replacement(defaults, "inference_on_dataset", _with_equal_buffers(defaults.inference_on_dataset))]


class _PackagedConfig:
    """pycls's global configuration, which finds files relative to the installed fast-reid.

    Args:
        cfg: the configuration.
    """

    def __init__(self, cfg: Any) -> None:
        self._cfg = cfg

    def __getattr__(self, name: str) -> Any:
        return getattr(self._cfg, name)

    def merge_from_file(self, file: str) -> None:
        """Merge a file whose path begins with `fastreid/`, read from the installed package."""
        self._cfg.merge_from_file(str(Path(fastreid.__file__).parent.parent / file))


@register_patch(
    "RegNet and EfficientNet look for their YAML files in the working directory",
    "they read the files of the installed package",
    where="`fastreid/modeling/backbones/regnet/regnet.py:568`, `effnet.py:253`.",
)
def package_files() -> list[Replacement]:
    """Return the replacements."""
    replacements = []
    for module_name, name in (("regnet", "regnet_cfg"), ("effnet", "effnet_cfg")):
        module = importlib.import_module(f"fastreid.modeling.backbones.regnet.{module_name}")
        replacements.append(Replacement(module, name, _PackagedConfig(getattr(module, name))))
    return replacements


def _download(url: str, output: str, quiet: bool = False) -> None:
    """Download a weight file; replaces `gdown.download`, with the arguments that fast-reid passes."""
    advice = (
        f"download it to {output} yourself, set MODEL.BACKBONE.PRETRAIN_PATH to a file, or train from scratch with "
        "MODEL.BACKBONE.PRETRAIN False"
    )
    if "drive.google.com" in url:
        raise ConfigError(f"MODEL.BACKBONE.PRETRAIN: {url} needs the package gdown: pip install gdown; or {advice}")
    try:
        torch.hub.download_url_to_file(url, output, progress=not quiet)
    except (URLError, OSError) as error:
        raise ConfigError(f"MODEL.BACKBONE.PRETRAIN: cannot download {url} ({error}); {advice}") from None


@register_patch(
    "MODEL.BACKBONE.PRETRAIN needs the package gdown even for plain URLs",
    "torch downloads them; offline, and for Google Drive without gdown, an error explains what to do",
    where="`fastreid/modeling/backbones/resnet.py:248` and four more; nothing is replaced if gdown is installed.",
)
def pretrain() -> list[Replacement]:
    """Return the replacements."""
    if "gdown" in sys.modules or importlib.util.find_spec("gdown"):
        return [Replacement(sys.modules, "gdown", importlib.import_module("gdown"))]
    stand_in = types.ModuleType("gdown", "The part of the package gdown that fast-reid uses.")
    stand_in.download = _download  # type: ignore[attr-defined]
    return [Replacement(sys.modules, "gdown", stand_in)]
