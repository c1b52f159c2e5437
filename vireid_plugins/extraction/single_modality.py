"""A method restricted to one modality, without routing, so that a compiler sees plain layers.

images (B, 3, H, W) float32 on the 0..255 scale -> features (B, D), by default L2-normalized
"""

import copy
import keyword
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vireid_plugins.layers.streams import PerModality, StreamSwitch


class _Mean(nn.Module):
    """The mean output of two copies of a stage: how four streams are used at test (MSCMNet)."""

    def __init__(self, first: nn.Module, second: nn.Module) -> None:
        super().__init__()
        self.first, self.second = first, second

    def forward(self, x: Tensor, modalities: Tensor | None = None, views: Tensor | None = None) -> Tensor:
        """Return the stage's output for a feature map (B, C, H, W)."""
        mean: Tensor = (self.first(x) + self.second(x)) / 2
        return mean


class _Heads(nn.ModuleDict):
    """Heads by name, stored under names that are not Python keywords.

    `torch.export` generates code in which modules are attributes, and `heads.global` is a syntax error.
    """

    def __init__(self, heads: nn.ModuleDict) -> None:
        super().__init__({_no_keyword(name): head for name, head in heads.items()})

    def __getitem__(self, name: str) -> nn.Module:
        return super().__getitem__(_no_keyword(name))

    def __contains__(self, name: str) -> bool:
        return super().__contains__(_no_keyword(name))


def _no_keyword(name: str) -> str:
    return f"{name}_" if keyword.iskeyword(name) else name


class SingleModality(nn.Module):
    """A trained method in evaluation mode for inputs of one modality.

    Args:
        model: the method; it is copied.
        modality: 0 visible, 1 infrared.
        flip: add the mirrored image's feature, as `TEST.FLIP.ENABLED` does.
        normalize: divide the features by their L2 norms; a flip test needs them as the method returns them.
    """

    def __init__(self, model: nn.Module, modality: int, flip: bool = False, normalize: bool = True) -> None:
        super().__init__()
        single: Any = _without_routing(copy.deepcopy(model), modality).eval()
        single.heads = _Heads(single.heads)
        self.model = single
        for parameter in single.parameters():
            parameter.requires_grad_(False)
        self.flip, self.normalize = flip, normalize

    def forward(self, images: Tensor) -> Tensor:
        """Return the features (B, D) of images (B, 3, H, W) on the 0..255 scale."""
        features: Tensor
        if self.flip:
            # A single pass, so that the graph contains each weight once.
            both = self.model(torch.cat([images, images.flip(3)]))
            features = both.view(2, -1, both.shape[1]).sum(0)
        else:
            features = self.model(images)
        return F.normalize(features) if self.normalize else features


def _without_routing(module: nn.Module, modality: int) -> nn.Module:
    """Replace every switch by the copies of a modality."""
    for name, child in module.named_children():
        setattr(module, name, _without_routing(child, modality))
    if isinstance(module, PerModality):
        return module.copies[modality]
    if isinstance(module, StreamSwitch):
        copies = list(module.copies)
        if len(copies) == 4:
            return _Mean(copies[2 * modality], copies[2 * modality + 1])
        return copies[modality if len(copies) == 2 else 0]
    return module
