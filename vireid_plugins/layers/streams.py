"""Sends each image of a batch through the copy of a module that is its own.

Which copy an image takes is known on the host, so no device is ever asked, and none is waited for.
"""

import copy
from collections.abc import Sequence

import torch
from torch import Tensor, nn


def route(copies: Sequence[nn.Module], index: Tensor, x: Tensor, modalities: Tensor, views: Tensor) -> Tensor:
    """Return the rows of `x`, each passed through `copies[index]`, in their own order.

    Args:
        copies: modules called as `copy(x, modalities, views)`.
        index: (B,) on the host.
        x: (B, ...).
        modalities: (B,) on the host.
        views: (B,) on the host.
    """
    order = torch.argsort(index, stable=True)
    counts = torch.bincount(index, minlength=len(copies)).tolist()
    sorted_already = torch.equal(index[order], index)
    rows = x if sorted_already else x[order.to(x.device, non_blocking=True)]
    columns = zip(rows.split(counts), modalities[order].split(counts), views[order].split(counts), strict=True)
    parts = [module(*part) for module, part in zip(copies, columns, strict=True) if len(part[0])]
    out = parts[0] if len(parts) == 1 else torch.cat(parts)
    return out if sorted_already else out[torch.argsort(order).to(x.device, non_blocking=True)]


def require_known(modalities: Tensor | None) -> Tensor:
    """Return `modalities`.

    Raises:
        ValueError: the batch has none.
    """
    if modalities is None:
        raise ValueError("this network has own parts for each modality: the batch needs `modalities`, 0 or 1 an image")
    return modalities


class PerModality(nn.Module):
    """One copy of a map module for visible and one for infrared images, with weights and statistics of their own.

    Args:
        module: the visible copy; the infrared one starts equal to it.
    """

    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self.copies = nn.ModuleList([module, copy.deepcopy(module)])

    def forward(self, x: Tensor, modalities: Tensor | None = None, views: Tensor | None = None) -> Tensor:
        """Map (B, C, H, W) to (B, C, H, W)."""
        modalities = require_known(modalities)
        views = torch.zeros_like(modalities) if views is None else views
        return route(list(self.copies), modalities, x, modalities, views)


class StreamSwitch(nn.Module):
    """One copy of a stage for each stream: 1 shared, 2 one a modality, 4 with stream = 2 * modality + view.

    With 4 streams there is one view at test, so the two copies of an image's modality are averaged (MSCMNet).

    Args:
        stage: the first copy; the others start equal to it, so weights are loaded before.
        count: number of streams, 1, 2 or 4.
    """

    def __init__(self, stage: nn.Module, count: int) -> None:
        super().__init__()
        self.copies = nn.ModuleList([stage, *(copy.deepcopy(stage) for _ in range(count - 1))])

    def forward(self, x: Tensor, modalities: Tensor | None = None, views: Tensor | None = None) -> Tensor:
        """Map (B, C, H, W) to the stage's output; `modalities` and `views` (B,) are on the host."""
        copies: list[nn.Module] = list(self.copies)
        if len(copies) == 1:
            out: Tensor = copies[0](x, modalities, views)
            return out
        modalities = require_known(modalities)
        views = torch.zeros_like(modalities) if views is None else views
        if len(copies) == 2:
            return route(copies, modalities, x, modalities, views)
        if self.training:
            return route(copies, 2 * modalities + views, x, modalities, views)
        pair = [route(copies, 2 * modalities + view, x, modalities, views) for view in (0, 1)]
        return (pair[0] + pair[1]) / 2
