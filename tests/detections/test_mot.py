from pathlib import Path

import pytest

from vireid_plugins.detections.mot import read_mot
from vireid_plugins.errors import DataError

FILE = Path("boxes.txt")


def test_read_mot_of_a_tracker_has_track_and_confidence() -> None:
    (one, other) = read_mot(FILE, "1,7,10.5,20,30,40,0.9,-1,-1,-1\n\n2, -1, 1, 2, 3, 4, 55.5,-1,-1,-1\n").boxes
    assert (one.frame, one.track, one.left, one.top, one.width, one.height) == (1, "7", 10.5, 20, 30, 40)
    assert (one.confidence, one.category, one.origin) == (0.9, "", "boxes.txt:1")
    assert (other.frame, other.track, other.confidence, other.origin) == (2, "", 55.5, "boxes.txt:3")


def test_read_mot_takes_numbers_as_savetxt_writes_them_and_a_comma_at_the_end() -> None:
    (box,) = read_mot(FILE, "1.200e+01,3.000000e+00,1e1,2e1,3e1,4e1,1.0,\r\n").boxes
    assert (box.frame, box.track, box.width, box.confidence) == (12, "3", 30, 1)
    assert read_mot(FILE, "1,2,3,4,5,6").boxes[0].confidence is None


def test_read_mot_of_ground_truth_knows_classes_and_boxes_that_do_not_count() -> None:
    found = read_mot(FILE, "1,1,0,0,9,9,1,1,1.0\n1,2,0,0,9,9,0,1,1.0\n1,3,0,0,9,9,1,3,0.5\n1,4,0,0,9,9,1,77,1\n")
    assert [box.category for box in found.boxes] == ["person", "car", "77"]
    assert found.categories == {"person", "car", "77"}
    assert found.left_out == {"not to be considered by its ground truth": 1}


def test_read_mot_of_ten_values_reads_a_position_and_no_class() -> None:
    (box,) = read_mot(FILE, "1,1,0,0,9,9,0,3,-8.5,0\n").boxes
    assert (box.category, box.confidence) == ("", 0)


def test_read_mot_of_nine_values_with_a_comma_at_the_end_is_ground_truth() -> None:
    found = read_mot(FILE, "1,1,0,0,9,9,1,3,1.0,\n1,2,0,0,9,9,0,1,1.0,\n")
    assert ([box.category for box in found.boxes], found.left_out.total()) == (["car"], 1)


def test_read_mot_of_nine_values_without_a_class_is_of_a_tracker() -> None:
    found = read_mot(FILE, "1,1,0,0,9,9,0,-1,-1\n")
    assert [(box.category, box.confidence) for box in found.boxes] == [("", 0)]


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("1,2,3,4,5", "5 values between commas"),
        ("1 2 3 4 5 6", "1 values between commas"),
        ("1,2,3,4,5,6,7,8,9,10,11", "11 values"),
        ("1.5,2,3,4,5,6", "the frame is '1.5', which is no whole number"),
        ("-1,2,3,4,5,6", "the frame is '-1', which is negative"),
        ("1,2,nan,4,5,6", "left is 'nan', which is no finite number"),
        ("1,2,3,4,5,inf", "height is 'inf'"),
        ("1,2,3,4,,6", "width is '', which is no finite number"),
        ("1,2,3,4,5,6,high", "the confidence is 'high'"),
        ("1,1,0,0,9,9,1,car,1.0", "the class is 'car'"),
    ],
)
def test_read_mot_of_a_malformed_line_names_file_and_line(line: str, message: str) -> None:
    with pytest.raises(DataError, match=r"'boxes\.txt:2': .*" + message.replace(".", r"\.")):
        read_mot(FILE, f"1,1,0,0,9,9\n{line}\n")
