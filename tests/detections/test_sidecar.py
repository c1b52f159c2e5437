from pathlib import Path

import pytest

from vireid_plugins.detections.sidecar import NAME, Crop, read_crops, sidecar_text
from vireid_plugins.errors import DataError

CROPS = [
    Crop("a_1.png", "/videos/a, b.mp4", 1, 0.1, "north", "a_7", 1.5, -2.25, 5.0, 9.0, 0.875, 0.5),
    Crop("a_2.png", '/videos/"x"\n.mp4', 22, None, "", "", 0.1, 0.2, 1e-3, 4.0, None, 0.0),
]


def test_sidecar_is_read_as_it_was_written(tmp_path: Path) -> None:
    (tmp_path / NAME).write_bytes(sidecar_text(CROPS))
    assert read_crops(tmp_path) == CROPS


def test_sidecar_has_decimals_and_its_columns_in_the_first_line() -> None:
    lines = sidecar_text(CROPS[:1]).decode().splitlines()
    assert lines == [
        "file,source,frame,time,camera,track,left,top,width,height,confidence,quality",
        'a_1.png,"/videos/a, b.mp4",1,0.1,north,a_7,1.5,-2.25,5.0,9.0,0.875,0.5',
    ]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (b"", "is no list of crops: it does not begin with"),
        (b"name,age\n", "is no list of crops"),
        (b"\xff", "is no list of crops"),
        (sidecar_text(CROPS[:1]) + b"x,y\n", r"crops\.csv:3': it has 2 values instead of 12"),
        (sidecar_text(CROPS[:1]).replace(b",0.5\n", b",good\n"), r"crops\.csv:2': quality is 'good'"),
    ],
)
def test_sidecar_that_is_damaged_names_the_line(tmp_path: Path, text: bytes, message: str) -> None:
    (tmp_path / NAME).write_bytes(text)
    with pytest.raises(DataError, match=message):
        read_crops(tmp_path)


def test_sidecar_that_is_missing_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"crops\.csv' cannot be read: No such file"):
        read_crops(tmp_path)
