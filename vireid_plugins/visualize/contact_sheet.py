"""A sheet of images, one identity a row."""

from PIL import Image

from vireid_plugins.data.datasets import CrossModalityDataset
from vireid_plugins.data.decode import read_image

GAP = 3


def contact_sheet(
    dataset: CrossModalityDataset, identities: int = 8, images: int = 2, size: tuple[int, int] = (128, 56)
) -> Image.Image:
    """Return test identities of a data set, one a row, `images` of each of their cameras side by side.

    The identities are those that most cameras saw; cameras stand in order, the visible one before the infrared one of
    the same number.

    Args:
        dataset: whose test set.
        identities: rows.
        images: images of a camera.
        size: height and width of an image.
    """
    seen: dict[int, dict[tuple[int, int], list[str]]] = {}
    for item in (*dataset.query, *dataset.gallery):
        path, identity, camera = item
        seen.setdefault(identity, {}).setdefault((camera, dataset.modality(item)), []).append(path)
    order = sorted(seen, key=lambda identity: (-len(seen[identity]), identity))[:identities]
    rows = [[path for camera in sorted(seen[i]) for path in seen[i][camera][:images]] for i in order]
    height, width = size
    columns = max(map(len, rows))
    sheet = Image.new("RGB", (columns * (width + GAP), len(rows) * (height + GAP)), "white")
    for row, paths in enumerate(rows):
        for column, path in enumerate(paths):
            picture = Image.fromarray(read_image(path, size))
            sheet.paste(picture, (column * (width + GAP), row * (height + GAP)))
    return sheet
