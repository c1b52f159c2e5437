"""Repairs of fast-reid's models, losses and pretrained weights."""

import importlib
import importlib.util
import sys
import types
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.error import URLError

import fastreid
import torch
from fastreid.modeling.meta_arch.baseline import Baseline
from fastreid.modeling.meta_arch.mgn import MGN
from torch import Tensor

from vireid_plugins.compat.patches.registry import Replacement, register_patch
from vireid_plugins.errors import ConfigError


def _on_a_copy(preprocess: Callable[..., Tensor]) -> Callable[..., Tensor]:
    def preprocessed(self: Any, batch: Any) -> Tensor:
        copy = {**batch, "images": batch["images"].clone()} if isinstance(batch, dict) else batch.clone()
        return preprocess(self, copy)

    return preprocessed


@register_patch(
    "images are normalised in place, so the flip test normalises them twice: silently other features",
    "a copy is normalised",
)
def flip() -> list[Replacement]:
    """`fastreid/modeling/meta_arch/baseline.py:130`, `mgn.py:257`, `fastreid/evaluation/evaluator.py:120`."""
    return [Replacement(c, "preprocess_image", _on_a_copy(c.preprocess_image)) for c in (Baseline, MGN)]


def _in_float32(distance: Callable[[Tensor, Tensor], Tensor]) -> Callable[[Tensor, Tensor], Tensor]:
    def computed(x: Tensor, y: Tensor) -> Tensor:
        with torch.autocast(x.device.type, enabled=False):
            # float32 at least: float64 stays float64.
            return distance(*(one.to(torch.promote_types(one.dtype, torch.float32)) for one in (x, y)))

    return computed


@register_patch(
    "under AMP the triplet loss takes distances in half precision: silently wrong, by 0.2 in fp16 and 2.3 in bf16 on a "
    "distance of 2.3",
    "distances are taken in float32",
)
def float32_distances() -> list[Replacement]:
    """`fastreid/modeling/losses/triplet_loss.py`, `utils.py`."""
    # By name: the package has a function that hides the module.
    module = importlib.import_module("fastreid.modeling.losses.triplet_loss")
    return [Replacement(module, name, _in_float32(getattr(module, name))) for name in ("euclidean_dist", "cosine_dist")]


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
)
def package_files() -> list[Replacement]:
    """`fastreid/modeling/backbones/regnet/regnet.py:568`, `effnet.py:253`."""
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
)
def pretrain() -> list[Replacement]:
    """`fastreid/modeling/backbones/resnet.py:248` and four more; nothing is replaced where gdown is installed."""
    if "gdown" in sys.modules or importlib.util.find_spec("gdown"):
        return [Replacement(sys.modules, "gdown", importlib.import_module("gdown"))]
    stand_in = types.ModuleType("gdown", "What fast-reid uses of the package gdown.")
    stand_in.download = _download  # type: ignore[attr-defined]
    return [Replacement(sys.modules, "gdown", stand_in)]
