"""Choose among the boxes of a file: by confidence, by category, and not every frame of a track."""

from collections import Counter
from collections.abc import Sequence

from vireid_plugins.detections.boxes import Box, Boxes
from vireid_plugins.errors import ConfigError, require_name


def chosen(boxes: Boxes, least_confidence: float | None, category: str, every: int) -> tuple[list[Box], Counter[str]]:
    """Return the boxes to crop, and numbers of those that are not, by reason.

    Args:
        boxes: the boxes of a file.
        least_confidence: the least confidence; None takes all.
        category: of the boxes; those without a category are of every category.
        every: take the first box of a track, and the next that is at least so many frames later; of boxes without a
            track, those in every so many frames, counted from the first frame that has any.

    Raises:
        ConfigError: the file has categories and not this one, or has no confidence to compare.
    """
    left_out = Counter(boxes.left_out)
    if boxes.categories:
        require_name("--category", category, boxes.categories)
    kept = []
    for box in boxes.boxes:
        if least_confidence is not None and box.confidence is None:
            raise ConfigError(
                f"--least-confidence: '{box.origin}' has no confidence; leave the option out, or take boxes with one"
            )
        if box.category not in ("", category):
            left_out["of other categories"] += 1
        elif least_confidence is not None and box.confidence is not None and box.confidence < least_confidence:
            left_out[f"below confidence {least_confidence:g}"] += 1
        else:
            kept.append(box)
    thinned = _thinned(kept, every)
    if len(thinned) < len(kept):
        left_out[f"between every {every} frames"] = len(kept) - len(thinned)
    return thinned, left_out


def _thinned(boxes: Sequence[Box], every: int) -> list[Box]:
    if every == 1:
        return list(boxes)
    for box in boxes:
        if box.frame is None:
            raise ConfigError(
                f"--every: '{box.origin}' names an image and no frame; boxes need numbers of frames for it"
            )
    kept: list[int] = []
    last: dict[str, int] = {}
    start = min((box.frame or 0 for box in boxes), default=0)
    for place in sorted(range(len(boxes)), key=lambda place: boxes[place].frame or 0):
        frame, track = boxes[place].frame or 0, boxes[place].track
        since = frame - last[track] if track in last else every
        if since >= every if track else (frame - start) % every == 0:
            last[track] = frame
            kept.append(place)
    return [boxes[place] for place in sorted(kept)]
