"""List the registered names that a configuration can use, and measure the size of its network."""

import inspect
import statistics
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import torch
from fastreid.config import CfgNode
from fastreid.data.datasets import DATASET_REGISTRY
from fastreid.modeling.backbones.build import BACKBONE_REGISTRY
from fastreid.modeling.heads.build import REID_HEADS_REGISTRY
from fastreid.modeling.meta_arch import build_model
from fastreid.modeling.meta_arch.build import META_ARCH_REGISTRY
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from vireid_plugins.config.check import registered
from vireid_plugins.config.plugins import load_plugins
from vireid_plugins.data.batch import black_batch
from vireid_plugins.data.samplers import SAMPLER_REGISTRY
from vireid_plugins.data.transforms import TRANSFORM_REGISTRY
from vireid_plugins.engine.loggers import LOGGER_REGISTRY
from vireid_plugins.evaluation import PROTOCOLS
from vireid_plugins.modeling.attention import ATTENTION_REGISTRY
from vireid_plugins.modeling.losses import LOSS_REGISTRY
from vireid_plugins.unsupervised import ASSOCIATION_REGISTRY

# Kind, the key that takes its names, registry.
REGISTRIES: list[tuple[str, str, Any]] = [
    ("data sets", "DATASETS.NAMES, DATASETS.TESTS", DATASET_REGISTRY),
    ("samplers", "DATALOADER.SAMPLER_TRAIN", SAMPLER_REGISTRY),
    ("transforms", "INPUT.VIEWS", TRANSFORM_REGISTRY),
    ("backbones", "MODEL.BACKBONE.NAME, MODEL.STREAMS.BACKBONE", BACKBONE_REGISTRY),
    ("attention", "MODEL.ATTENTION.STAGE1 .. STAGE4, or a meta-architecture", ATTENTION_REGISTRY),
    ("heads", "MODEL.HEADS.NAME", REID_HEADS_REGISTRY),
    ("losses", "MODEL.LOSSES.NAME", LOSS_REGISTRY),
    ("meta-architectures", "MODEL.META_ARCHITECTURE", META_ARCH_REGISTRY),
    ("associations of clusters", "USL.ASSOCIATE.NAME", ASSOCIATION_REGISTRY),
    ("loggers", "LOGGERS", LOGGER_REGISTRY),
]


class Plugin(NamedTuple):
    """A registered name, the package it comes from, and the first line of its description."""

    name: str
    package: str
    line: str


def plugins() -> dict[str, list[Plugin]]:
    """Return everything that is registered, including by installed plug-in packages, by kind and key.

    Raises:
        InstallError: a plug-in package cannot be loaded.
    """
    load_plugins()
    listing = {
        f"{kind} ({key})": [_plugin(registry, n) for n in registered(registry)] for kind, key, registry in REGISTRIES
    }
    listing["protocols (TEST.PROTOCOLS)"] = [Plugin(p.name, "vireid_plugins", p.about) for p in PROTOCOLS.values()]
    return listing


def _plugin(registry: Any, name: str) -> Plugin:
    part = registry.get(name)
    # `getdoc` would return the parent's docstring for a class without its own.
    text = inspect.getdoc(part) if part.__doc__ else ""
    return Plugin(name, part.__module__.split(".")[0], (text or "").split("\n")[0])


class NetworkSize(NamedTuple):
    """What a network costs at test.

    Attributes:
        millions: parameters, in millions.
        gmac: multiply-adds per image, in billions: convolutions and matrix products, those of attention included.
        images_per_second: median of 5 batches, without reading images.
    """

    millions: float
    gmac: float
    images_per_second: float


def network_size(cfg: CfgNode, batch: int = 8) -> NetworkSize:
    """Measure the network of a configuration on its device, with random weights.

    Args:
        cfg: the configuration.
        batch: images per batch.
    """
    cfg = cfg.clone()
    cfg.defrost()
    cfg.MODEL.BACKBONE.PRETRAIN = False
    model = build_model(cfg).eval()
    with torch.no_grad():
        with _attention_in_parts(), FlopCounterMode(display=False) as flops:
            model(black_batch(1, cfg))
        seconds = [_seconds(model, black_batch(batch, cfg), cfg.MODEL.DEVICE) for _ in range(6)][1:]
    millions = sum(p.numel() for p in model.parameters()) / 1e6
    return NetworkSize(millions, flops.get_total_flops() / 2e9, batch / statistics.median(seconds))


@contextmanager
def _attention_in_parts() -> Iterator[None]:
    """Compute attention by plain matrix products inside a `with` block.

    torch's counter does not know all of its fused forms: what a ViT costs would depend on the device.
    """
    former = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        with sdpa_kernel(SDPBackend.MATH):
            yield
    finally:
        torch.backends.mha.set_fastpath_enabled(former)


def _seconds(model: Any, batch: dict[str, Any], device: str) -> float:
    start = time.perf_counter()
    model(batch)
    if device.startswith("cuda"):
        torch.cuda.synchronize()
    return time.perf_counter() - start
