"""Pretrained weights of a backbone: torchvision's, fast-reid's, or from a local file.

They must fill every parameter and running statistic of the backbone. Otherwise an error lists what is missing, unless
`MODEL.BACKBONE.PRETRAIN_PARTIAL` accepts a partial fill.
"""

import logging
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from http.client import HTTPException
from pathlib import Path, PurePosixPath
from typing import Any, cast
from urllib.error import URLError
from urllib.parse import urlparse

import torch
from fastreid.config import CfgNode
from fastreid.modeling.backbones.build import BACKBONE_REGISTRY
from torch import Tensor, nn

from vireid_plugins.compat.registry import patch
from vireid_plugins.errors import ConfigError, DataError, UserError
from vireid_plugins.io.weight_file import DIGEST, named_tensors, read_weight_file
from vireid_plugins.modeling.backbones.names import renamed
from vireid_plugins.modeling.backbones.timm_weights import prepared_timm
from vireid_plugins.modeling.backbones.vit_weights import prepared
from vireid_plugins.modeling.fit import Fit, fit, listed

logger = logging.getLogger("fastreid." + __name__)
# AGW-style code keeps a full ResNet per stem, of which only the first layers are used, and one for the shared stages.
AGW_PREFIXES = ("visible_module.visible.", "thermal_module.thermal.", "base_resnet.base.")
STEM = ("conv1.", "bn1.")
# ImageNet classifiers.
CLASSIFIERS = ("fc.", "classifier.", "linear.", "head.fc.")
# fast-reid's non-local blocks (MODEL.BACKBONE.WITH_NL), which ImageNet weights do not have.
NON_LOCAL = "NL_"
# Parts of parameter names that reveal an option of the network.
OPTIONS = {".IN.": "MODEL.BACKBONE.WITH_IBN", ".se.fc.": "MODEL.BACKBONE.WITH_SE"}
VIT, TIMM = "build_vit_backbone", "build_timm_backbone"
ADVICE = "set MODEL.BACKBONE.PRETRAIN_PATH to a file, or train from scratch with MODEL.BACKBONE.PRETRAIN False"
# What a download can end with; torch raises a RuntimeError if the digest is wrong.
FAILED = (URLError, OSError, HTTPException, RuntimeError)


@dataclass(frozen=True)
class Weights:
    """Weights of a backbone before it is cut.

    Attributes:
        tensors: tensors by name.
        source: their source, for messages.
        max_pool: the max-pool padding they were trained with, `torchvision` or `fastreid`.
        infrared_stem: tensors of a separate infrared stem, named as in `tensors`.
    """

    tensors: Mapping[str, Tensor]
    source: str
    max_pool: str = "torchvision"
    infrared_stem: Mapping[str, Tensor] = field(default_factory=dict)


def read_pretrained(cfg: CfgNode) -> Weights:
    """Return the weights from `MODEL.BACKBONE.PRETRAIN_PATH` or, if that is empty, download them.

    Plain ResNets and the ViT come from torchvision, other backbones from fast-reid's URLs.

    Raises:
        ConfigError: the download fails, or there are no weights for this backbone.
        DataError: the file cannot be read.
    """
    path = cfg.MODEL.BACKBONE.PRETRAIN_PATH
    if path:
        return _from_path(path)
    plain = not (cfg.MODEL.BACKBONE.WITH_IBN or cfg.MODEL.BACKBONE.WITH_SE)
    if plain and cfg.MODEL.STREAMS.BACKBONE == "build_resnet_backbone":
        return _from_torchvision(f"resnet{cfg.MODEL.BACKBONE.DEPTH.rstrip('x')}")
    if cfg.MODEL.STREAMS.BACKBONE == VIT:
        if cfg.MODEL.BACKBONE.DEPTH != "base":
            raise ConfigError(f"MODEL.BACKBONE.PRETRAIN: torchvision has no ViT {cfg.MODEL.BACKBONE.DEPTH}; {ADVICE}")
        return _from_torchvision("vit_b_16")
    if cfg.MODEL.STREAMS.BACKBONE == TIMM:
        raise ConfigError(f"MODEL.BACKBONE.PRETRAIN: nothing is downloaded for timm's {cfg.MODEL.TIMM.NAME}; {ADVICE}")
    return _from_fastreid(cfg)


def parse_state_dict(content: Mapping[str, object], source: str) -> Weights:
    """Parse the content of a weight file.

    Supported are state dicts with torchvision's names, at the top or under `state_dict`, `model_state` or `model`;
    fast-reid's checkpoints (names begin with `backbone.`); and AGW-style checkpoints (under `net`: a visible, a thermal
    and a shared module).
    """
    tensors = named_tensors(content)
    visible, thermal, shared = ({n[len(p) :]: t for n, t in tensors.items() if n.startswith(p)} for p in AGW_PREFIXES)
    if shared:
        stem, infrared = ({n: t for n, t in part.items() if n.startswith(STEM)} for part in (visible, thermal))
        # The shared ResNet's own stem is never trained.
        stages = {name: value for name, value in shared.items() if not (visible and name.startswith(STEM))}
        return Weights({**stages, **stem}, source, infrared_stem=infrared)
    fastreid = {n.removeprefix("backbone."): value for n, value in tensors.items() if n.startswith("backbone.")}
    if fastreid:
        return Weights(fastreid, source, max_pool="fastreid")
    return Weights(tensors, source)


def max_pool_of(cfg: CfgNode) -> str:
    """Return `MODEL.STREAMS.MAX_POOL`, with `auto` resolved to the padding that the pretrained weights expect.

    It does not depend on `MODEL.BACKBONE.PRETRAIN`, so that a model is evaluated with the padding it was trained with.

    Raises:
        ConfigError: `auto` depends on a file that does not exist.
    """
    choice: str = cfg.MODEL.STREAMS.MAX_POOL
    if choice != "auto":
        return choice
    path = cfg.MODEL.BACKBONE.PRETRAIN_PATH
    if not path:
        # Also for the weights at fast-reid's URLs, which were not trained with fast-reid's own padding.
        return "torchvision"
    if not Path(path).exists():
        raise ConfigError(
            f"MODEL.STREAMS.MAX_POOL: auto depends on MODEL.BACKBONE.PRETRAIN_PATH '{path}', which does not exist; set "
            "MAX_POOL to torchvision or fastreid"
        )
    return _from_path(path).max_pool


def _from_path(path: str) -> Weights:
    """Return the weights in a file.

    Raises:
        DataError: the file cannot be read.
    """
    try:
        return parse_state_dict(read_weight_file(Path(path)), path)
    except DataError as error:
        raise DataError(f"MODEL.BACKBONE.PRETRAIN_PATH: {error}") from None


def load_pretrained(backbone: nn.Module, weights: Weights, cfg: CfgNode) -> None:
    """Fill `backbone`, built by `MODEL.STREAMS.BACKBONE` and not yet cut.

    Raises:
        ConfigError: nothing fits, or tensors are left over on either side and `MODEL.BACKBONE.PRETRAIN_PARTIAL` is
            False.
    """
    name = cfg.MODEL.STREAMS.BACKBONE
    names = renamed(name, weights.tensors)
    key = "MODEL.BACKBONE.PRETRAIN_PATH" if cfg.MODEL.BACKBONE.PRETRAIN_PATH else "MODEL.BACKBONE.PRETRAIN"
    depth = (
        f"{cfg.MODEL.TIMM.NAME} (MODEL.TIMM.NAME)"
        if name == TIMM
        else f"{cfg.MODEL.BACKBONE.DEPTH} (MODEL.BACKBONE.DEPTH)"
    )
    what = f"'{weights.source}' for {name} (MODEL.STREAMS.BACKBONE) {depth}"
    given = {names[in_file]: value for in_file, value in weights.tensors.items()}
    if name == VIT:
        given = prepared(backbone, given, weights.source, shortened=cfg.MODEL.VIT.BLOCKS > 0)
    elif name == TIMM:
        given = prepared_timm(backbone, given, cfg)
    match = fit(backbone.state_dict(), given, f"{key}: '{weights.source}'")
    if not match.fitting:
        hints = "".join(_hints(match, weights.tensors))
        raise ConfigError(f"{key}: no weight of {what} fits; the file has {listed(list(weights.tensors))}{hints}")
    match = _relevant(match, backbone, {new: given for given, new in names.items()})
    _require_complete(match, f"{key}: {what}", cfg, _hints(match, weights.tensors))
    backbone.load_state_dict(match.fitting, strict=False)
    rest = f"; not used: {listed(match.unused)}" if match.unused else ""
    logger.info("pretrained weights from %s: %d of %d tensors%s", weights.source, len(match.fitting), match.total, rest)


def load_infrared_stems(copies: nn.ModuleList, weights: Weights, cfg: CfgNode) -> None:
    """Fill the infrared copies of a ResNet's stem if the file has a separate infrared stem.

    Raises:
        ConfigError: it does not fill them and `MODEL.BACKBONE.PRETRAIN_PARTIAL` is False.
    """
    if weights.infrared_stem and len(copies) == 1:
        logger.info("the infrared stem of %s is not used: MODEL.STREAMS.COUNT is 1", weights.source)
        return
    stages = cast(list[Any], list(copies)[len(copies) // 2 :] if weights.infrared_stem else [])
    for stage in stages:
        stem = nn.ModuleDict({prefix.rstrip("."): part for prefix, part in zip(STEM, stage.blocks[:2], strict=True)})
        what = f"MODEL.BACKBONE.PRETRAIN_PATH: the infrared stem in '{weights.source}' ({AGW_PREFIXES[1]})"
        match = fit(stem.state_dict(), weights.infrared_stem, what)
        _require_complete(match, what, cfg)
        stem.load_state_dict(match.fitting, strict=False)


def _require_complete(match: Fit, what: str, cfg: CfgNode, hints: Sequence[str] = ()) -> None:
    """Raise unless nothing is left over; only warn if a partial fill is accepted."""
    if not (match.unfilled or match.unused):
        return
    hint = "".join(hints)
    if not cfg.MODEL.BACKBONE.PRETRAIN_PARTIAL:
        raise ConfigError(
            f"{what}: {match}{hint}. Configure the network that the weights belong to, use other weights, or accept a "
            "partial fill with MODEL.BACKBONE.PRETRAIN_PARTIAL True"
        )
    rest = f"; these stay random: {listed(match.unfilled)}" if match.unfilled else ""
    logger.warning("%s: %s%s%s", what, match, hint, rest)


def _relevant(match: Fit, backbone: nn.Module, original_names: Mapping[str, str]) -> Fit:
    """Drop tensors that need not fit, and give unused ones their name in the file (`original_names`).

    Those are classifiers, modules outside the backbone, and non-local blocks if the file has none. Extra tensors inside
    a part that the backbone has too, such as `layer3.7`, do count: they belong to a different network. Where something
    is missing, whatever is left over may be the same under another name.
    """
    parts = {name.partition(".")[0] for name, _ in backbone.named_children()}
    has_non_local = any(name.startswith(NON_LOCAL) for name in (*match.fitting, *match.shapes))
    missing = [name for name in match.missing if has_non_local or not name.startswith(NON_LOCAL)]
    left_over = [name for name in match.unused if not name.startswith(CLASSIFIERS)]
    extra = left_over if missing else [name for name in left_over if name.partition(".")[0] in parts]
    return replace(match, missing=tuple(missing), unused=tuple(original_names.get(name, name) for name in extra))


def _hints(match: Fit, tensors: Mapping[str, Tensor]) -> list[str]:
    """Return what the parameter names reveal about the file's network."""
    hints = []
    for part, key in OPTIONS.items():
        if any(part in name for name in match.unused):
            hints.append(f"; the file's network was built with {key} True")
        elif any(part in name for name in match.missing):
            hints.append(f"; the file's network was built with {key} False")
    if any(name.startswith(("stem.copies.", "stages.stage")) for name in tensors):
        hints.append("; it is a checkpoint of this package: set MODEL.WEIGHTS to it")
    return hints


def _from_torchvision(model: str) -> Weights:
    from torchvision.models import get_model_weights  # imported here because it takes a second

    url = get_model_weights(model)["IMAGENET1K_V1"].url
    try:
        return parse_state_dict(_read_downloaded(_downloaded(url)), url)
    except FAILED as error:
        if isinstance(error, UserError):
            raise
        raise ConfigError(
            f"MODEL.BACKBONE.PRETRAIN: cannot download {url} ({error}). Download it on a machine with network access "
            f"and {ADVICE}"
        ) from None


def _downloaded(url: str) -> Path:
    """Return torch hub's copy of a file, downloaded if there is none."""
    file = Path(torch.hub.get_dir(), "checkpoints", PurePosixPath(urlparse(url).path).name)
    if not file.exists() and not file.is_symlink():
        file.parent.mkdir(parents=True, exist_ok=True)
        digest = DIGEST.search(file.name)
        logger.info("Downloading %s to %s", url, file)
        torch.hub.download_url_to_file(url, str(file), digest[1] if digest else None)
    return file


def _read_downloaded(file: Path) -> dict[str, Any]:
    """Read a file that was downloaded, perhaps long ago.

    Raises:
        DataError: it cannot be read, or is not what its name says; it is left as it is.
    """
    try:
        return read_weight_file(file, downloaded=True)
    except DataError as error:
        raise DataError(f"MODEL.BACKBONE.PRETRAIN: {error}. Delete it to download it again, or {ADVICE}") from None


def _from_fastreid(cfg: CfgNode) -> Weights:
    """Let fast-reid's builder download the weights from the URLs it knows."""
    patch(only=["pretrain"])
    name = cfg.MODEL.STREAMS.BACKBONE
    pretrain_cfg = cfg.clone()
    pretrain_cfg.defrost()
    pretrain_cfg.MODEL.BACKBONE.PRETRAIN = True
    with _loads_recorded() as loaded:
        try:
            BACKBONE_REGISTRY.get(name)(pretrain_cfg)
        except UserError:
            raise
        except Exception as error:  # fast-reid checks nothing of what it has loaded
            # If a file was loaded, its weights do not fit, which `load_pretrained` reports in more detail.
            if not loaded:
                raise ConfigError(
                    f"MODEL.BACKBONE.PRETRAIN: no weights can be downloaded for {name} {cfg.MODEL.BACKBONE.DEPTH} "
                    f"({error}); {ADVICE}"
                ) from None
    if not loaded:
        raise ConfigError(f"MODEL.BACKBONE.PRETRAIN: fast-reid has no weights for {name}; {ADVICE}")
    # fast-reid itself would load only what fits and leave the rest at random.
    return parse_state_dict(loaded[-1], f"fast-reid's URL for {name}")


@contextmanager
def _loads_recorded() -> Iterator[list[dict[str, Any]]]:
    """Inside a `with` block, read what fast-reid loads as every weight file is read, and record it."""
    loaded: list[dict[str, Any]] = []
    originals = torch.load, torch.hub.load_state_dict_from_url

    def recorded(file: Any, **_: Any) -> dict[str, Any]:
        if not file:  # some of its builders know no address
            raise FileNotFoundError("no address is known")
        replacements, (torch.load, torch.hub.load_state_dict_from_url) = _loaders(), originals
        try:
            loaded.append(_read_downloaded(Path(file)))
        finally:
            torch.load, torch.hub.load_state_dict_from_url = replacements
        return loaded[-1]

    torch.load = cast(Any, recorded)
    torch.hub.load_state_dict_from_url = lambda url, **_: recorded(_downloaded(url))
    try:
        yield loaded
    finally:
        torch.load, torch.hub.load_state_dict_from_url = originals


def _loaders() -> tuple[Any, Any]:
    return torch.load, torch.hub.load_state_dict_from_url
