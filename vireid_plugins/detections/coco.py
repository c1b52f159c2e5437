"""Boxes in COCO's JSON: `images`, `annotations` and `categories`.

Source: https://cocodataset.org/#format-data. `bbox` is [left, top, width, height]. What COCO does not define is
read where it is common: `score` of an annotation is its confidence, `track_id` or `instance_id` its track,
`frame_id` of an image the number of its frame. Annotations of crowds are left out.
"""

from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from vireid_plugins.detections.boxes import Box, Boxes
from vireid_plugins.detections.numbers import natural, number
from vireid_plugins.errors import DataError
from vireid_plugins.io.json_file import parse_json

_PARTS = ("images", "annotations", "categories")


def read_coco(file: Path, text: str) -> Boxes:
    """Return the boxes of a COCO file.

    Args:
        file: the file that it is from, for messages.
        text: its content.

    Raises:
        DataError: it is malformed; the message names the file and the entry.
    """
    try:
        content = parse_json(text)
    except ValueError as error:
        raise DataError(f"'{file}' is no JSON: {error}") from None
    if isinstance(content, list):
        raise DataError(
            f"'{file}' is a list of results, which does not say the files of its images; put it under 'annotations' of "
            "a file that has 'images' and 'categories' too"
        )
    if not isinstance(content, dict) or not all(isinstance(content.get(part), list) for part in _PARTS):
        raise DataError(f"'{file}' is no COCO file: it needs the lists {', '.join(_PARTS)}")
    images = _by_id(file, content, "images", "file_name")
    categories = _by_id(file, content, "categories", "name")
    boxes, left_out = list[Box](), Counter[str]()
    for place, entry in enumerate(content["annotations"]):
        origin = f"{file}: annotations[{place}]"
        try:
            if not isinstance(entry, dict):
                raise ValueError("it is no object")
            if entry.get("iscrowd"):
                left_out["crowds"] += 1
            else:
                boxes.append(_box(origin, entry, images, categories))
        except (ValueError, TypeError) as error:
            raise DataError(f"'{origin}': {error}") from None
    return Boxes(file, boxes, {one["name"] for one in categories.values()}, _sizes(file, images), left_out)


def _by_id(file: Path, content: dict[str, Any], part: str, name: str) -> dict[object, dict[str, Any]]:
    """Return the entries of a list by their ids."""
    found: dict[object, dict[str, Any]] = {}
    for place, entry in enumerate(content[part]):
        known = isinstance(entry, dict) and isinstance(entry.get("id"), int | str) and isinstance(entry.get(name), str)
        if not known or entry["id"] in found:
            raise DataError(f"'{file}: {part}[{place}]': it needs an 'id' of its own and a text '{name}'")
        found[entry["id"]] = entry
    return found


def _sizes(file: Path, images: Mapping[object, dict[str, Any]]) -> dict[str, tuple[int, int]]:
    try:
        return {
            one["file_name"]: (natural(one["width"], "width"), natural(one["height"], "height"))
            for one in images.values()
            if one.get("width") is not None and one.get("height") is not None
        }
    except ValueError as error:
        raise DataError(f"'{file}': images: {error}") from None


def _box(
    origin: str,
    entry: dict[str, Any],
    images: Mapping[object, dict[str, Any]],
    categories: Mapping[object, dict[str, Any]],
) -> Box:
    box, image, category = entry.get("bbox"), entry.get("image_id"), entry.get("category_id")
    if not isinstance(box, list) or len(box) != 4:
        raise ValueError("bbox is not [left, top, width, height]")
    if image not in images:
        raise ValueError(f"image_id {image} is not among the images")
    if category not in categories:
        raise ValueError(f"category_id {category} is not among the categories")
    left, top, width, height = (number(value, "bbox") for value in box)
    frame = images[image].get("frame_id")
    track = next((entry[name] for name in ("track_id", "instance_id") if entry.get(name) is not None), None)
    return Box(
        *(origin, left, top, width, height),
        frame=None if frame is None else natural(frame, "frame_id of its image"),
        image=images[image]["file_name"],
        confidence=None if entry.get("score") is None else number(entry["score"], "score"),
        track="" if track in (None, -1) else str(track),
        category=categories[category]["name"],
    )
