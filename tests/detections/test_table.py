from pathlib import Path

import pytest

from vireid_plugins.detections.table import read_table
from vireid_plugins.errors import DataError

FILE = Path("boxes.csv")


def test_read_table_takes_columns_by_name_in_any_order() -> None:
    lines = (
        "Track,height,width,top,left,frame,note,confidence,category",
        'anna,9,5,2,1.5,12,"a, b",0.5,person',
        "-1,9,5,2,1,13,,,",
    )
    one, other = read_table(FILE, "\n".join(lines)).boxes
    assert (one.frame, one.left, one.top, one.width, one.height) == (12, 1.5, 2, 5, 9)
    assert (one.track, one.confidence, one.category, one.origin) == ("anna", 0.5, "person", "boxes.csv:2")
    assert (other.track, other.confidence, other.category) == ("", None, "")


def test_read_table_takes_the_other_corner_and_images() -> None:
    (box,) = read_table(FILE, "image,left,top,right,bottom\na/1.jpg,1,2,6,11\n").boxes
    assert (box.image, box.frame, box.width, box.height) == ("a/1.jpg", None, 5, 9)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("x1,y1,x2,y2\n", r"csv:1': a table of boxes needs a header.*this one has x1, y1, x2, y2"),
        ("left,top,width,height\n1,2,3,4\n", "csv:1': a table of boxes needs a header with frame or image"),
        ("frame,left,top,width,bottom\n", "csv:1': a table of boxes needs"),
        ("frame,left,left,top,width,height\n", "csv:1': the header names 'left' twice"),
        ("frame,left,top,width,height\n1,2,3,4,5\n1,2,3\n", "csv:3': it has 3 values, and the header names 5"),
        ("frame,left,top,width,height\n\n1,2,x,4,5\n", "csv:3': top is 'x', which is no finite number"),
        ("frame,left,top,width,height\n,2,3,4,5\n", "csv:2': it names no frame and no image"),
        ('frame,left,top,width,height\n"1,2,3,4,5\n', "csv:2': unexpected end of data"),
    ],
)
def test_read_table_of_a_malformed_file_names_the_line(text: str, message: str) -> None:
    with pytest.raises(DataError, match=message):
        read_table(FILE, text)
