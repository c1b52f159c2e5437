from pathlib import Path

import pytest

from vireid_plugins.detections.boxes import Box, Boxes
from vireid_plugins.detections.choose import chosen
from vireid_plugins.errors import ConfigError


def box(frame: int | None, track: str = "", confidence: float | None = 0.5, category: str = "") -> Box:
    return Box("a.txt:1", 0, 0, 5, 9, frame, "" if frame is not None else "a.jpg", confidence, track, category)


def boxes(*found: Box) -> Boxes:
    return Boxes(Path("a.txt"), list(found), {one.category for one in found if one.category})


def test_chosen_leaves_out_low_confidence_and_counts_it() -> None:
    kept, left_out = chosen(boxes(box(1, confidence=0.2), box(2, confidence=0.3)), 0.3, "person", 1)
    assert [one.frame for one in kept] == [2]
    assert left_out == {"below confidence 0.3": 1}


def test_chosen_with_a_least_confidence_needs_one_in_every_box() -> None:
    with pytest.raises(ConfigError, match=r"--least-confidence: 'a\.txt:1' has no confidence"):
        chosen(boxes(box(1, confidence=None)), 0.0, "person", 1)


def test_chosen_takes_one_category_and_boxes_without() -> None:
    found = boxes(box(1, category="person"), box(2, category="dog"), box(3))
    kept, left_out = chosen(found, None, "person", 1)
    assert [one.frame for one in kept] == [1, 3]
    assert left_out == {"of other categories": 1}
    with pytest.raises(ConfigError, match=r"--category: unknown value 'persn'; available: dog, person \(did you mean"):
        chosen(found, None, "persn", 1)


def test_chosen_of_every_three_frames_counts_for_each_track() -> None:
    found = boxes(*(box(n, "a") for n in (1, 2, 3, 4, 8, 9)), *(box(n, "b") for n in (2, 3, 5)), box(1), box(3), box(4))
    kept, left_out = chosen(found, None, "person", 3)
    assert [(one.track, one.frame) for one in kept] == [
        *(("a", 1), ("a", 4), ("a", 8), ("b", 2), ("b", 5)),
        *(("", 1), ("", 4)),
    ]
    assert left_out == {"between every 3 frames": 5}


def test_chosen_of_every_frames_takes_them_in_time_and_keeps_the_order_of_the_file() -> None:
    kept, _ = chosen(boxes(box(5, "a"), box(1, "a"), box(3, "a")), None, "person", 2)
    assert [one.frame for one in kept] == [5, 1, 3]


def test_chosen_of_every_frames_needs_numbers() -> None:
    with pytest.raises(ConfigError, match=r"--every: .* names an image and no frame"):
        chosen(boxes(box(None)), None, "person", 2)
