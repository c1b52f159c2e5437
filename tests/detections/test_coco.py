import copy
import json
from pathlib import Path
from typing import Any

import pytest

from vireid_plugins.detections.coco import read_coco
from vireid_plugins.errors import DataError

FILE = Path("boxes.json")
CONTENT: dict[str, Any] = {
    "images": [
        {"id": 3, "file_name": "a/7.jpg", "width": 40, "height": 30},
        {"id": "x", "file_name": "b.jpg", "frame_id": 12},
    ],
    "categories": [{"id": 1, "name": "person"}, {"id": 2, "name": "dog"}],
    "annotations": [
        {"id": 1, "image_id": 3, "category_id": 1, "bbox": [1, 2.5, 5, 9], "score": 0.75, "track_id": 4},
        {"id": 2, "image_id": "x", "category_id": 2, "bbox": [0, 0, 1, 1], "instance_id": "rex"},
        {"id": 3, "image_id": 3, "category_id": 1, "bbox": [0, 0, 1, 1], "iscrowd": 1},
    ],
}


def test_read_coco_reads_images_categories_scores_and_tracks() -> None:
    found = read_coco(FILE, json.dumps(CONTENT))
    one, other = found.boxes
    assert (one.image, one.frame, one.left, one.top, one.width, one.height) == ("a/7.jpg", None, 1, 2.5, 5, 9)
    assert (one.confidence, one.track, one.category) == (0.75, "4", "person")
    assert (other.frame, other.confidence, other.track, other.category) == (12, None, "rex", "dog")
    assert found.sizes == {"a/7.jpg": (40, 30)}
    assert found.categories == {"person", "dog"}
    assert found.left_out == {"crowds": 1}


def test_read_coco_with_null_takes_it_for_what_is_missing() -> None:
    content = copy.deepcopy(CONTENT)
    content["images"][0]["width"] = content["annotations"][1]["track_id"] = None
    found = read_coco(FILE, json.dumps(content))
    assert (found.sizes, [box.track for box in found.boxes]) == ({}, ["4", "rex"])


@pytest.mark.parametrize(
    ("place", "value", "message"),
    [
        (("annotations", 1, "bbox"), [1, 2, 3], r"annotations\[1\]': bbox is not \[left, top, width, height\]"),
        (("annotations", 1, "bbox"), [1, 2, 3, "x"], r"annotations\[1\]': bbox is 'x', which is no finite number"),
        (("annotations", 1, "bbox"), [1, 2, 3, True], r"annotations\[1\]': bbox is 'True'"),
        (("annotations", 0, "image_id"), 99, r"annotations\[0\]': image_id 99 is not among the images"),
        (("annotations", 0, "image_id"), [3], r"annotations\[0\]'"),
        (("annotations", 0, "category_id"), None, r"annotations\[0\]': category_id None is not among"),
        (("annotations", 0, "score"), "high", r"annotations\[0\]': score is 'high'"),
        (("annotations", 0), 5, r"annotations\[0\]': it is no object"),
        (("images", 1, "id"), 3, r"images\[1\]': it needs an 'id' of its own and a text 'file_name'"),
        (("images", 0, "file_name"), None, r"images\[0\]': it needs"),
        (("images", 0, "width"), -4, "images: width is '-4', which is negative"),
        (("images", 1, "frame_id"), 1.5, "frame_id of its image is '1.5'"),
        (("categories",), None, "is no COCO file: it needs the lists images, annotations, categories"),
    ],
)
def test_read_coco_of_a_malformed_entry_names_it(place: tuple, value: object, message: str) -> None:
    content = copy.deepcopy(CONTENT)
    at: Any = content
    for key in place[:-1]:
        at = at[key]
    at[place[-1]] = value
    with pytest.raises(DataError, match=message):
        read_coco(FILE, json.dumps(content))


@pytest.mark.parametrize(
    ("text", "message"), [("[]", "is a list of results"), ("{", "is no JSON"), ("3", "is no COCO file")]
)
def test_read_coco_of_something_else_says_so(text: str, message: str) -> None:
    with pytest.raises(DataError, match=message):
        read_coco(FILE, text)
