"""What boxes lie on: numbered frames of a video or of a folder of images.

`Frames` is what a source of either kind gives, one after the other; `open_frames` chooses by what the path is.
"""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import numpy.typing as npt

from vireid_plugins.data.decode import SEARCH_SUFFIXES
from vireid_plugins.errors import DataError


class Picture(NamedTuple):
    """Decoded pixels, upright.

    Attributes:
        values: (H, W, 3) uint8 of colors; (H, W) uint8 or more of one channel.
        full: the value that is white; None if it is unknown.
    """

    values: npt.NDArray[Any]
    full: int | None


class Frame(NamedTuple):
    """A frame of a video, or an image.

    Attributes:
        number: its number.
        image: its path below the folder of images; empty in a video.
        file: the video or image file.
        time: seconds since the first frame, by the timestamps of the video; None where there are none.
        picture: decodes it.
    """

    number: int
    image: str
    file: Path
    time: float | None
    picture: Callable[[], Picture]


class Frames(Protocol):
    """A source of frames.

    Attributes:
        path: the video, folder or list.
        is_video: whether frames are known by numbers alone.
    """

    path: Path
    is_video: bool

    def __iter__(self) -> Iterator[Frame]:
        """Yield the frames in their order; what is not decoded costs little."""


def open_frames(path: Path, first: int | None) -> Frames:
    """Return the frames of a video, a folder of images, a list of images (`.txt`) or an image.

    Args:
        path: the file or folder.
        first: number of the first frame; by default 1, or the numbers in the names of the images.

    Raises:
        DataError: it does not exist.
        InstallError: it is a video, and PyAV is missing.
    """
    from vireid_plugins.detections.image_frames import ImageFrames
    from vireid_plugins.detections.video_frames import VideoFrames

    if not path.exists():
        raise DataError(f"'{path}' does not exist; it must be a video, a folder of images or a list of images (.txt)")
    if path.is_dir() or path.suffix.lower() in (".txt", *SEARCH_SUFFIXES):
        return ImageFrames(path, first)
    return VideoFrames(path, first)
