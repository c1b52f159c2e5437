"""Contact sheet of a data set, one identity per row."""

from PIL import Image

from vireid_plugins.data.datasets import CrossModalityDataset
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
