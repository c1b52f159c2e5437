"""A sheet of images, one identity a row."""

from pathlib import Path

from PIL import Image

from vireid_plugins.data.datasets import SYSUMM01
from vireid_plugins.data.images import read_image

GAP = 3


def contact_sheet(folder: Path, identities: int = 8, images: int = 2, size: tuple[int, int] = (128, 56)) -> Image.Image:
    """Return test identities of a SYSU-MM01 tree, one a row, `images` of each camera 1 to 6 side by side.

    Only identities that every camera saw are shown.

    Args:
        folder: the `SYSU-MM01` folder.
        identities: rows.
        images: images of a camera.
        size: height and width of an image.
    """
    dataset = SYSUMM01(root=str(folder))
    everywhere = [i for i in dataset.test_ids if all(len(dataset.images(i, c)) >= images for c in range(1, 7))]
    height, width = size
    rows = everywhere[:identities]
    sheet = Image.new("RGB", (6 * images * (width + GAP), len(rows) * (height + GAP)), "white")
    for row, identity in enumerate(rows):
        paths = [path for camera in range(1, 7) for path in dataset.images(identity, camera)[:images]]
        for column, path in enumerate(paths):
            picture = Image.fromarray(read_image(str(dataset.folder / path), size))
            sheet.paste(picture, (column * (width + GAP), row * (height + GAP)))
    return sheet
