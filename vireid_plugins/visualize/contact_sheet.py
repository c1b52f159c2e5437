"""Contact sheets of a data set and of a training batch, one identity per row."""

import numpy as np
import torch
from PIL import Image

from vireid_plugins.data.batch import Batch
from vireid_plugins.data.datasets import CrossModalityDataset
from vireid_plugins.data.datasets.base import MODALITIES
from vireid_plugins.data.decode import read_image

GAP = 3


def contact_sheet(
    dataset: CrossModalityDataset, identities: int = 8, images: int = 2, size: tuple[int, int] = (128, 56)
) -> Image.Image:
    """Return a sheet of test images, one identity per row, with `images` images from each of its cameras.

    The identities are those seen by the most cameras. Cameras are sorted by number, visible before infrared.

    Args:
        dataset: data set whose test set is shown.
        identities: number of rows.
        images: images per camera.
        size: height and width of an image.
    """
    paths_of: dict[int, dict[tuple[int, int], list[str]]] = {}
    for item in (*dataset.query, *dataset.gallery):
        path, identity, camera = item
        paths_of.setdefault(identity, {}).setdefault((camera, dataset.modality(item)), []).append(path)
    order = sorted(paths_of, key=lambda identity: (-len(paths_of[identity]), identity))[:identities]
    rows = [[path for camera in sorted(paths_of[i]) for path in paths_of[i][camera][:images]] for i in order]
    height, width = size
    columns = max(map(len, rows))
    sheet = Image.new("RGB", (columns * (width + GAP), len(rows) * (height + GAP)), "white")
    for row, paths in enumerate(rows):
        for column, path in enumerate(paths):
            picture = Image.fromarray(read_image(path, size))
            sheet.paste(picture, (column * (width + GAP), row * (height + GAP)))
    return sheet


def batch_sheets(batch: Batch, instances: int, height: int = 128) -> dict[str, Image.Image]:
    """Return a sheet for each view of a training batch by `MODALITY_VIEW`, such as `visible_0`.

    Args:
        batch: images (B, 3, H, W) on the 0..255 scale, RGB, in blocks of one view.
        instances: images per identity and modality, which make a row.
        height: height of an image on a sheet, in pixels; its width keeps the ratio.
    """
    # Erasing after normalization may leave the scale.
    images = batch["images"].float().clamp(0, 255).byte().cpu().numpy().transpose(0, 2, 3, 1)
    width = max(1, round(height * images.shape[2] / images.shape[1]))
    keys = torch.stack([batch["modalities"], batch["views"]], 1)
    sheets = {}
    for modality, view in torch.unique(keys, dim=0).tolist():
        rows = ((keys[:, 0] == modality) & (keys[:, 1] == view)).nonzero()[:, 0].tolist()
        count = -(-len(rows) // instances)
        sheet = Image.new("RGB", (instances * (width + GAP), count * (height + GAP)), "white")
        for number, row in enumerate(rows):
            picture = Image.fromarray(np.ascontiguousarray(images[row])).resize((width, height))
            sheet.paste(picture, (number % instances * (width + GAP), number // instances * (height + GAP)))
        sheets[f"{MODALITIES[modality]}_{view}"] = sheet
    return sheets
