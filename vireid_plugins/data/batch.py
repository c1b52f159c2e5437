"""The batch that a loader yields, and the order of its rows.

`images` (B, 3, H, W) on the 0..255 scale, `targets` (B,), `camids` (B,), `modalities` (B,) 0 visible and 1 infrared,
`views` (B,), `img_paths`. A training batch is a concatenation of blocks of P * K rows, one block per (modality, view),
visible first, views ascending: `[V1, V2, ..., I1, ...]`; row i of every block is the same identity. At test any mix and
order is valid.
"""

from typing import Any, TypedDict

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

VISIBLE = 0
INFRARED = 1


class Batch(TypedDict):
    """See the module. `modalities` and `views` stay on the host, since reading a device tensor forces a sync."""

    images: Tensor
    targets: Tensor
    camids: Tensor
    modalities: Tensor
    views: Tensor
    img_paths: list[str]


class Item(TypedDict):
    """One image of a data set, before it is collated: `images` is (H, W, 3), uint8 or float32 on the 0..255 scale."""

    images: npt.NDArray[Any]
    targets: int
    camids: int
    modalities: int
    views: int
    img_paths: str


def collate(items: list[Item]) -> Batch:
    """Stack items into a batch.

    The images stay uint8 unless a view is float32. They are stored channels last, so that convolutions need no copy.
    """
    dtype = np.result_type(*{item["images"].dtype for item in items})
    images = torch.from_numpy(np.stack([item["images"] for item in items], dtype=dtype)).permute(0, 3, 1, 2)

    def column(key: str) -> Tensor:
        return torch.tensor([item[key] for item in items])  # type: ignore[literal-required]

    return Batch(
        images=images,
        targets=column("targets"),
        camids=column("camids"),
        modalities=column("modalities"),
        views=column("views"),
        img_paths=[item["img_paths"] for item in items],
    )


def collate_training(items: list[Item]) -> Batch:
    """Stack items into a training batch and check the row order that the losses rely on, once and on the host."""
    batch = collate(items)
    check_blocks(batch)
    return batch


def check_blocks(batch: Any) -> None:
    """Raise a `ValueError` unless the rows of a training batch are ordered in blocks (see the module)."""
    # In numpy, whose values need no call that would wait for a device.
    modalities, views, targets = (np.asarray(batch[key]) for key in ("modalities", "views", "targets"))
    blocks = modalities * (1 + views.max()) + views
    starts = np.flatnonzero(np.diff(blocks, prepend=blocks[0] - 1))
    counts = np.diff(starts, append=len(blocks))
    if bool((np.diff(blocks[starts]) <= 0).any()) or bool((counts != counts[0]).any()):
        raise ValueError(
            "a training batch must consist of one block per (modality, view), visible first, all of equal length; got "
            f"blocks of {counts.tolist()} rows"
        )
    rows = targets.reshape(len(starts), -1)
    if bool((rows != rows[0]).any()):
        raise ValueError("row i must have the same identity in every block of a training batch")


def split_identities(batch: Batch, parts: int) -> list[Batch]:
    """Split a training batch by identity into `parts` batches, each with its rows in block order.

    Raises:
        ValueError: the number of identities is not a multiple of `parts`.
    """
    blocks = len(torch.unique_consecutive(2 * batch["modalities"] + batch["views"]))
    rows = torch.arange(len(batch["targets"])).view(blocks, -1)
    identities = len(torch.unique_consecutive(batch["targets"][rows[0]]))
    if identities % parts:
        raise ValueError(f"{identities} identities do not divide into {parts} parts")

    columns: dict[str, Any] = {**batch}

    def select(selected: Tensor) -> Any:
        return {
            key: [column[int(row)] for row in selected] if isinstance(column, list) else column[selected]
            for key, column in columns.items()
        }

    return [select(part.flatten()) for part in rows.chunk(parts, dim=1)]
