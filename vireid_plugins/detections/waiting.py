"""Boxes that wait for their frames, and what is wrong if a frame does not come."""

from collections import defaultdict
from collections.abc import Sequence
from pathlib import PurePath

from vireid_plugins.detections.boxes import Box, Boxes
from vireid_plugins.detections.frames import Frame, Frames
from vireid_plugins.errors import DataError


class Waiting:
    """The boxes of frames that have not come yet.

    Args:
        file: what the boxes' file holds.
        boxes: those to crop.
        frames: the source; a video asks for numbers of frames, and images take names before numbers.
        first: number of the first frame, if it was given.

    Raises:
        DataError: a box names a frame before the first, or only an image where there is a video.
    """

    def __init__(self, file: Boxes, boxes: Sequence[Box], frames: Frames, first: int | None) -> None:
        self._file, self._frames, self._first = file, frames, first
        self._boxes: dict[int | str, list[Box]] = defaultdict(list)
        self._numbers: list[int] = []
        for box in boxes:
            self._boxes[self._key(box)].append(box)

    def __bool__(self) -> bool:
        return bool(self._boxes)

    def take(self, frame: Frame) -> list[Box]:
        """Return the boxes of a frame, in their order; they wait no longer.

        Raises:
            DataError: the boxes' file gives its image another size.
        """
        self._numbers.append(frame.number)
        boxes = [*self._boxes.pop(frame.image, []), *self._boxes.pop(frame.number, [])]
        stated = self._file.sizes.get(boxes[0].image) if boxes else None
        if stated:
            height, width = frame.picture().values.shape[:2]
            if stated != (width, height):
                raise DataError(
                    f"'{self._file.file}' says that '{boxes[0].image}' has {stated[0]} x {stated[1]} pixels; upright, "
                    f"as it is read here, '{frame.file}' has {width} x {height}. The boxes are of another picture"
                )
        return boxes

    def require_none(self, decoded: int) -> None:
        """Raise an error if boxes still wait after the last frame.

        Args:
            decoded: number of frames that came.

        Raises:
            DataError: there are such boxes; the message names one of the farthest.
        """
        if not self._boxes:
            return
        path = self._frames.path
        named = [box for key, boxes in self._boxes.items() if isinstance(key, str) for box in boxes]
        if named:
            raise DataError(f"'{named[0].origin}' names the image '{named[0].image}', which is not in '{path}'")
        number = max(key for key in self._boxes if isinstance(key, int))
        box = self._boxes[number][0]
        if not self._numbers:
            raise DataError(f"'{box.origin}' names frame {number}, and '{path}' has no frame that can be decoded")
        low, high = min(self._numbers), max(self._numbers)
        where = f"{decoded} frames, {low} to {high}"
        raise DataError(
            f"'{box.origin}' names frame {number}, which '{path}' does not have: it has {where}"
            f"{self._advice(number, high)}"
        )

    def _advice(self, number: int, high: int) -> str:
        if number == high + 1 and self._first == 0:
            return ". Its first frame may be number 1: --first-frame 1"
        return ""

    def _key(self, box: Box) -> int | str:
        if box.image and not self._frames.is_video:
            # As the names of frames: ./a.png is a.png.
            return PurePath(box.image).as_posix()
        if box.frame is None:
            raise DataError(
                f"'{box.origin}' names the image '{box.image}' and no frame; '{self._frames.path}' is a video, whose "
                "frames have numbers alone"
            )
        if self._frames.is_video and box.frame < (first := 1 if self._first is None else self._first):
            raise DataError(
                f"'{box.origin}' names frame {box.frame}, and the first frame has number {first}; if the boxes count "
                "from 0: --first-frame 0"
            )
        return box.frame
