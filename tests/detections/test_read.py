from pathlib import Path

import pytest

from vireid_plugins.detections.read import read_boxes
from vireid_plugins.errors import DataError


@pytest.mark.parametrize("name", ["a.txt", "a.csv", "a"])
def test_read_boxes_tells_the_format_by_the_content(tmp_path: Path, name: str) -> None:
    file = tmp_path / name
    for text, count in (
        ("1,2,3,4,5,6,1,-1,-1,-1\n", 1),
        ("\ufeff\n1,2,3,4,5,6\r\n2,2,3,4,5,6\r\n", 2),
        ("frame,left,top,width,height\n1,2,3,4,5\n", 1),
        ('\n{"images": [], "annotations": [], "categories": []}', 0),
        ("", 0),
    ):
        file.write_text(text)
        assert len(read_boxes(file).boxes) == count


def test_read_boxes_of_no_text_names_the_file(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(DataError, match=r"a\.txt' is no text in UTF-8"):
        read_boxes(tmp_path / "a.txt")
    with pytest.raises(DataError, match=r"b\.txt' cannot be read: No such file"):
        read_boxes(tmp_path / "b.txt")
    with pytest.raises(DataError, match="it is a folder"):
        read_boxes(tmp_path)
