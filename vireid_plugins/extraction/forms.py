"""The fast forms of a network on a CPU, and which of them this machine has.

Measured in CPU seconds per image (docs/speed.md): onnxruntime fuses batch norms and activations into convolutions,
bfloat16 pays only where the processor has AMX, and is several times slower than float32 on one without.
"""

import importlib.util
from collections.abc import Callable
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from vireid_plugins.extraction.onnx import onnx_runner, to_onnx
from vireid_plugins.extraction.optional import optional
from vireid_plugins.extraction.single_modality import SingleModality

# Images (B, 3, H, W) on the 0..255 scale to features (B, D) float32.
Runner = Callable[[Tensor], Tensor]
# Packages of the form with onnxruntime: the extra `deploy`.
NEEDED = ("onnx", "onnxscript", "onnxruntime")
# Images of a forward pass in bfloat16. Other numbers of images round otherwise, by more than 1e-6 of a feature.
FIXED = 8


class Form(NamedTuple):
    """A way to compute features.

    Attributes:
        name: for the log and `evaluation.json`.
        make: returns the runner of a network, given the network for one modality and the size (H, W) of its images.
        missing: packages that a faster form would need.
    """

    name: str
    make: Callable[[SingleModality, Any], Runner]
    missing: tuple[str, ...] = ()


def fastest() -> Form:
    """Return the fastest form that this processor and the installed packages allow."""
    if has_amx():
        return Form("bfloat16 (AMX)", in_bfloat16)
    missing = tuple(name for name in NEEDED if importlib.util.find_spec(name) is None)
    if missing:
        return Form("channels-last float32", channels_last, missing)
    return Form(f"onnxruntime {optional('onnxruntime').__version__}, float32", in_onnxruntime)


def has_amx() -> bool:
    """Return whether the processor multiplies tiles of bfloat16."""
    supported = getattr(torch.cpu, "_is_amx_tile_supported", None)
    return bool(supported is not None and supported())


def channels_last(single: SingleModality, size: Any) -> Runner:
    """Return the network with its weights in the order in which batches are stored."""
    ordered: Any = single
    ordered.to(memory_format=torch.channels_last)

    def run(images: Tensor) -> Tensor:
        features: Tensor = ordered(images.contiguous(memory_format=torch.channels_last))
        return features

    return run


def in_bfloat16(single: SingleModality, size: Any) -> Runner:
    """Return the network under autocast to bfloat16, always with FIXED images, of which the last may be blank."""
    ordered = channels_last(single, size)

    def run(images: Tensor) -> Tensor:
        parts = []
        for part in images.split(FIXED):
            blank = FIXED - len(part)
            whole = F.pad(part, (0, 0) * 3 + (0, blank)) if blank else part
            with torch.autocast("cpu", torch.bfloat16):
                parts.append(ordered(whole)[: len(part)].float())
        return torch.cat(parts)

    return run


def in_onnxruntime(single: SingleModality, size: Any) -> Runner:
    """Return the network as onnxruntime computes it, on as many threads as torch."""
    content = to_onnx(single, size).model_proto.SerializeToString()
    session = onnx_runner(content, torch.get_num_threads())

    def run(images: Tensor) -> Tensor:
        return torch.from_numpy(session(images.float().contiguous().numpy()))

    return run
