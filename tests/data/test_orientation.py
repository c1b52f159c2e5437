import numpy as np
import pytest
from PIL import Image, ImageOps

from vireid_plugins.data.orientation import upright


@pytest.mark.parametrize("orientation", [*range(1, 9), 0, 9])
def test_upright_turns_as_pillow(orientation: int) -> None:
    pixels = np.arange(6, dtype=np.uint8).reshape(2, 3)
    image, exif = Image.fromarray(pixels), Image.Exif()
    exif[0x0112] = orientation
    image.info["exif"] = exif.tobytes()
    np.testing.assert_array_equal(upright(pixels, orientation), np.asarray(ImageOps.exif_transpose(image)))
