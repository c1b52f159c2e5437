"""What is written for a crop is read back as it was cut."""

from pathlib import Path

import numpy as np
import pytest

from vireid_plugins.data.decode import read_values
from vireid_plugins.detections.boxes import Pixels
from vireid_plugins.detections.crop_file import cut, encoded
from vireid_plugins.detections.frames import Picture

PLACE = Pixels(2, 1, 6, 8)


@pytest.mark.parametrize(
    ("kind", "shape", "full", "ending"),
    [
        ("u1", (9, 7, 3), 255, ".png"),
        ("u1", (9, 7), 255, ".png"),
        ("u2", (9, 7), 65535, ".png"),
        ("i4", (9, 7), 16383, ".pgm"),
        ("f4", (9, 7), None, ".tif"),
        ("i8", (9, 7), None, ".tif"),
    ],
)
def test_encoded_crop_is_read_with_its_values_and_its_white(
    tmp_path: Path, kind: str, shape: tuple[int, ...], full: int | None, ending: str
) -> None:
    values = np.random.default_rng(0).integers(0, min(full or 9000, 9000) + 1, shape).astype(kind)
    found, content = encoded(cut(Picture(values, full), PLACE))
    assert found == ending
    (tmp_path / f"a{ending}").write_bytes(content)
    read, white = read_values(str(tmp_path / f"a{ending}"))
    np.testing.assert_array_equal(read, values[1:8, 2:6])
    assert white == full
