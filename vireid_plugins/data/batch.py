"""The batch that a loader yields, and the order of its rows.

`images` (B, 3, H, W) on the 0..255 scale, `targets` (B,), `camids` (B,), `modalities` (B,) 0 visible and 1 infrared,
`views` (B,), `img_paths`. A training batch is a concatenation of blocks of P * K rows, one block per (modality, view),
visible first, views ascending: `[V1, V2, ..., I1, ...]`; row i of every block is the same identity. At test any mix and
order is valid.

Where the modalities are drawn apart (`ApartSampler`), `targets` are clusters, numbered from 0 in each modality. Blocks
of one modality have equal length, and row i of them is the same image; the blocks of the two modalities have nothing
in common.
"""

import math
from collections.abc import Sequence
from typing import Any, TypedDict

import numpy as np
import numpy.typing as npt
import torch
from fastreid.config import CfgNode
from torch import Tensor
from torch.utils.data import get_worker_info

VISIBLE = 0
INFRARED = 1
# The label of an image that belongs to no cluster, and the partner of a cluster that has none.
NONE = -1


class Batch(TypedDict):
    """See the module. `modalities` and `views` stay on the host, since reading a device tensor forces a sync."""

    images: Tensor
    targets: Tensor
    camids: Tensor
    modalities: Tensor
    views: Tensor
    img_paths: list[str]


def empty_images(count: int, size: tuple[int, int], dtype: Any) -> Tensor:
    """Return memory for the images of a batch, (B, H, W, 3).

    In a data-loader worker it is shared memory, so that the batch is handed over without a copy.
    """
    shape = (count, *size, 3)
    images = torch.from_numpy(np.empty(0 if get_worker_info() else shape, dtype))
    if get_worker_info() is None:
        return images
    storage = torch.UntypedStorage._new_shared(math.prod(shape) * images.itemsize)
    return images.set_(storage, 0, shape)  # type: ignore[call-overload, no-any-return]


def black_batch(count: int, cfg: CfgNode) -> dict[str, Tensor]:
    """Return what a network reads of a test batch: black images of `INPUT.SIZE_TEST`, of the two modalities in turn."""
    cameras = torch.full((count,), next(iter(cfg.MODEL.VIT.CAMERAS), 0))
    images = torch.zeros(count, 3, *cfg.INPUT.SIZE_TEST)
    return {"images": images, "modalities": torch.arange(count) % 2, "camids": cameras}


def assemble(
    images: Tensor,
    targets: Sequence[int],
    camids: Sequence[int],
    modalities: Sequence[int],
    views: Sequence[int],
    img_paths: list[str],
) -> Batch:
    """Return a batch of images (B, H, W, 3). They stay channels last, so that convolutions need no copy."""
    return Batch(
        images=images.permute(0, 3, 1, 2),
        targets=torch.tensor(targets),
        camids=torch.tensor(camids),
        modalities=torch.tensor(modalities),
        views=torch.tensor(views),
        img_paths=img_paths,
    )


def as_it_is(batch: Batch) -> Batch:
    """Return a batch: the data sets collate."""
    return batch


def checked(batch: Batch) -> Batch:
    """Return a training batch after checking the row order that the losses rely on, once and on the host."""
    check_blocks(batch)
    return batch


def check_blocks(batch: Any) -> None:
    """Raise a `ValueError` unless the rows of a training batch are ordered in blocks (see the module)."""
    blocks, counts = _blocks(batch)
    if bool((np.diff(blocks) <= 0).any()) or bool((counts != counts[0]).any()):
        raise ValueError(
            "a training batch must consist of one block per (modality, view), visible first, all of equal length; got "
            f"blocks of {counts.tolist()} rows"
        )
    rows = np.asarray(batch["targets"]).reshape(len(counts), -1)
    if bool((rows != rows[0]).any()):
        raise ValueError("row i must have the same identity in every block of a training batch")


def checked_apart(batch: Batch) -> Batch:
    """Return a training batch whose modalities are drawn apart, after checking the order of its rows."""
    check_apart(batch)
    return batch


def check_apart(batch: Any) -> None:
    """Raise a `ValueError` unless the rows of a batch are ordered as modalities that are drawn apart (see the module).

    Images are told apart by their paths.
    """
    blocks, counts = _blocks(batch)
    modalities = np.asarray(batch["modalities"])
    starts = np.cumsum(counts) - counts
    of_modality = modalities[starts]
    for modality in (VISIBLE, INFRARED):
        lengths = counts[of_modality == modality]
        if not len(lengths) or bool((np.diff(blocks) <= 0).any()) or bool((lengths != lengths[0]).any()):
            raise ValueError(
                "a training batch of modalities drawn apart must consist of one block per (modality, view), visible "
                f"first, of equal length within a modality; got blocks of {counts.tolist()} rows"
            )
        paths = np.asarray(batch["img_paths"], dtype=object)[modalities == modality].reshape(len(lengths), -1)
        targets = np.asarray(batch["targets"])[modalities == modality].reshape(len(lengths), -1)
        if bool((paths != paths[0]).any()) or bool((targets != targets[0]).any()):
            raise ValueError("row i must be the same image in every view of a modality")


def _blocks(batch: Any) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Return a number for each block of rows, which ascends in the right order, and the number of its rows."""
    # In numpy, whose values need no call that would wait for a device.
    modalities, views = (np.asarray(batch[key]) for key in ("modalities", "views"))
    blocks = modalities * (1 + views.max()) + views
    starts = np.flatnonzero(np.diff(blocks, prepend=blocks[0] - 1))
    return blocks[starts], np.diff(starts, append=len(blocks))


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
