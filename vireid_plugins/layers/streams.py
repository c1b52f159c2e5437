"""Route each image of a batch through the module copy of its stream.

Modalities and views are on the host, so that routing needs no device synchronization.
"""

import copy
from collections.abc import Sequence

import torch
from torch import Tensor, nn


def route(copies: Sequence[nn.Module], index: Tensor, x: Tensor, modalities: Tensor, views: Tensor) -> Tensor:
    """Pass each row of `x` through the copy that `index` selects, and return the outputs in the order of the rows.

    Args:
        copies: modules called as `copy(x, modalities, views)`.
        index: (B,) index of each row's copy, on the host.
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
        raise ValueError("this network has modality-specific layers: the batch needs `modalities`, 0 or 1 per image")
    return modalities


class PerModality(nn.Module):
    """A feature-map module with separate copies, weights and statistics, for visible and for infrared images.

    Args:
        module: the visible copy; the infrared copy starts with the same weights.
    """

    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self.copies = nn.ModuleList([module, copy.deepcopy(module)])

    def forward(self, x: Tensor, modalities: Tensor | None = None, views: Tensor | None = None) -> Tensor:
        """Transform a feature map (B, C, H, W) to one of the same shape."""
        modalities = require_known(modalities)
        views = torch.zeros_like(modalities) if views is None else views
        return route(list(self.copies), modalities, x, modalities, views)


class StreamSwitch(nn.Module):
    """One copy of a stage per stream: 1 shared, 2 one per modality, 4 with stream = 2 * modality + view.

    There is a single view at test, so with 4 streams the outputs of the modality's two copies are averaged (MSCMNet).

    Args:
        stage: the first copy; the others are cloned from it, so load its weights first.
        count: number of streams, 1, 2 or 4.
    """

    def __init__(self, stage: nn.Module, count: int) -> None:
        super().__init__()
        self.copies = nn.ModuleList([stage, *(copy.deepcopy(stage) for _ in range(count - 1))])

    def forward(self, x: Tensor, modalities: Tensor | None = None, views: Tensor | None = None) -> Tensor:
        """Return the stage's output for a feature map (B, C, H, W); `modalities` and `views` (B,) are on the host."""
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
