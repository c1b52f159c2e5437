"""Networks of timm (pytorch-image-models), by name.

A network is what `timm.create_model(NAME, num_classes=0, global_pool='')` builds, and its pieces
(`timm_pieces.py`) compute what it computes, which is checked whenever one is cut. The package is the extra `timm`.
"""

import functools
import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from fastreid.config import CfgNode
from fastreid.modeling.backbones.build import BACKBONE_REGISTRY
from torch import Tensor, nn

from vireid_plugins.config.keys import arguments, declare
from vireid_plugins.errors import ConfigError, InstallError
from vireid_plugins.layers.evaluating import evaluating
from vireid_plugins.modeling.backbones.adapters import Cut, register_adapter
from vireid_plugins.modeling.backbones.timm_pieces import cut_maps, cut_sequences
from vireid_plugins.modeling.backbones.vit import one_size

logger = logging.getLogger("fastreid." + __name__)
# Image on which a network of any size is compared with its pieces; its sides differ, so that axes are told apart.
SMALL = (96, 64)
# What timm raises if a network cannot be built as it was asked to.
REFUSED = (TypeError, AssertionError, ValueError)


@dataclass(frozen=True, kw_only=True)
class TimmOptions:
    """`MODEL.TIMM`.

    Args:
        name: with MODEL.STREAMS.BACKBONE build_timm_backbone, the network: one of `timm.list_models()`, such as
            convnext_tiny or vit_small_patch16_224, perhaps with the tag of its weights (resnet50.a1_in1k).
        drop_path: rate of stochastic depth in the last block of a network of timm, falling to 0 in the first.

    Raises:
        ConfigError: `drop_path` is not in [0, 1).
    """

    name: str = ""
    drop_path: float = 0.0

    def __post_init__(self) -> None:
        if not 0 <= self.drop_path < 1:
            raise ConfigError(f"MODEL.TIMM.DROP_PATH: must be at least 0 and below 1, got {self.drop_path}")


declare("MODEL.TIMM", TimmOptions)


@BACKBONE_REGISTRY.register()
def build_timm_backbone(cfg: CfgNode) -> nn.Module:
    """Build the network `MODEL.TIMM.NAME` with random weights, without classifier and pooling.

    Raises:
        ConfigError: there is no such network, or it cannot have the configuration's size or options.
        InstallError: timm is missing.
    """
    try:
        import timm
    except ImportError as error:
        raise InstallError(
            f"MODEL.STREAMS.BACKBONE build_timm_backbone needs timm ({error}):", "    pip install timm"
        ) from None
    options = TimmOptions(**arguments(cfg.MODEL.TIMM))
    name, size = options.name, list(cfg.INPUT.SIZE_TRAIN)
    if cfg.MODEL.BACKBONE.NAME == "build_timm_backbone":
        raise ConfigError(
            "MODEL.BACKBONE.NAME: build_timm_backbone is a value of MODEL.STREAMS.BACKBONE; set MODEL.BACKBONE.NAME to "
            "build_multi_stream_backbone"
        )
    if not name:
        raise ConfigError(
            "MODEL.TIMM.NAME: build_timm_backbone needs the name of a network, such as resnet50 or convnext_tiny; "
            "timm.list_models() returns all"
        )
    try:
        known = timm.get_pretrained_cfg(name) if timm.is_model(name) else None
    except RuntimeError as error:  # of a tag that it does not know
        raise ConfigError(f"MODEL.TIMM.NAME: {name}: {error}") from None
    if known is None:
        near = timm.list_models(f"*{name.partition('_')[0]}*")
        raise ConfigError(
            f"MODEL.TIMM.NAME: timm {timm.__version__} has no network '{name}', but "
            f"{', '.join((near or timm.list_models('*18'))[:6])}, ...; timm.list_models() returns all"
        )
    extra: dict[str, Any] = {"drop_path_rate": options.drop_path} if options.drop_path else {}
    if known.fixed_input_size:
        extra["img_size"] = tuple(one_size(cfg, name))
    make = functools.partial(timm.create_model, name, num_classes=0, global_pool="", **extra)
    try:
        model = _with_last_stride_1(make, name) if cfg.MODEL.BACKBONE.LAST_STRIDE == 1 else make()
    except REFUSED as error:
        raise ConfigError(
            f"MODEL.TIMM.NAME: timm cannot build {name} with {extra or 'its defaults'}: {error}"
        ) from None
    height, width = getattr(getattr(model, "patch_embed", None), "patch_size", None) or (1, 1)
    if known.fixed_input_size and (size[0] % height or size[1] % width):
        raise ConfigError(
            f"INPUT.SIZE_TRAIN: {name} has patches of {height} x {width} pixels and would not see the rest of "
            f"{size}; [{size[0] // height * height or height}, {size[1] // width * width or width}] fits"
        )
    return model


def _with_last_stride_1(make: Callable[..., nn.Module], name: str) -> nn.Module:
    """Build a network whose last stage keeps the size of its map, if timm offers that.

    timm's `output_stride` dilates the kernels of that stage, which networks of re-identification do not.
    """
    try:
        model = make(output_stride=16)
    except REFUSED:
        model = make()
        if not hasattr(model, "blocks") or not hasattr(model, "patch_embed"):
            logger.warning("MODEL.BACKBONE.LAST_STRIDE: 1 has no effect on %s, of which timm offers no such form", name)
    for module in model.modules():
        if isinstance(module, nn.Conv2d) and max(module.dilation) > 1:
            if not isinstance(module.padding, str):
                module.padding = tuple(p // d for p, d in zip(module.padding, module.dilation, strict=True))
            module.dilation = (1, 1)
    return model


@register_adapter("build_timm_backbone")
def cut_timm(backbone: Any, cfg: CfgNode) -> Cut:
    """Cut a network of timm.

    Raises:
        ConfigError: it has not four stages in series, or no class token where `MODEL.STREAMS.TOKENS` asks for it.
        NotImplementedError: the network is on torch's device `meta`, where nothing can be compared.
    """
    if next(backbone.parameters()).is_meta:
        raise NotImplementedError("a network without values cannot be compared with its pieces")
    name, reason = cfg.MODEL.TIMM.NAME, ""
    size = cfg.INPUT.SIZE_TRAIN if backbone.pretrained_cfg.get("fixed_input_size") else SMALL
    for pieces_of in (cut_sequences, cut_maps, functools.partial(cut_maps, whole=True)):
        try:
            found = Cut(*pieces_of(backbone))
            _require_same(backbone, found, torch.randn(1, 3, *size, generator=torch.Generator().manual_seed(0)))
        except AttributeError:  # a network of another kind
            continue
        except Exception as error:  # parts that are not in series fail in every way
            reason = reason or f"; {type(error).__name__}: {error}"
            continue
        if found.grid is not None and cfg.MODEL.STREAMS.TOKENS == "class" and backbone.cls_token is None:
            raise ConfigError(
                f"MODEL.STREAMS.TOKENS: {name} has no class token; set it to mean or patches, and "
                "MODEL.HEADS.POOL_LAYER to GlobalAvgPool"
            )
        return found
    raise ConfigError(
        f"MODEL.TIMM.NAME: {name} ({type(backbone).__name__}) cannot be cut into a stem and four stages in series; "
        f"ResNets, RegNets, EfficientNets, ConvNeXts, Swins and ViTs can{reason}"
    )


@torch.no_grad()
def _require_same(model: nn.Module, pieces: Cut, image: Tensor) -> None:
    """Raise unless the pieces in series compute what the network computes, and their maps are (B, C, H, W).

    Gains of blocks may be 0 at the start and hide a difference, so all vectors have other values meanwhile.
    """
    generator = torch.Generator().manual_seed(0)
    vectors = [(p, p.clone()) for p in model.parameters() if p.ndim <= 1]
    height, width = image.shape[2:]
    try:
        with evaluating(model):
            for vector, _ in vectors:
                vector.uniform_(0.2, 1.0, generator=generator)
            x = image
            for block in sum(pieces.stages, pieces.stem):
                x = block.eval()(x)
                if x.ndim == 4 and abs(x.shape[2] * width - x.shape[3] * height) > max(height, width):
                    raise ValueError(f"a part of it returns {list(x.shape)}, which is not (B, C, H, W)")
            expected = model(image)
    finally:
        for vector, value in vectors:
            vector.copy_(value)
    expected = expected.permute(0, 3, 1, 2) if getattr(model, "output_fmt", "") == "NHWC" else expected
    if (x if pieces.grid is None else pieces.grid.to_map(x)).ndim != 4:
        raise ValueError(f"it returns {list(x.shape)}, which is not (B, C, H, W)")
    if not torch.allclose(x, expected, rtol=1e-4, atol=1e-5 * float(expected.abs().max())):
        raise ValueError("its parts in series compute something else")
