"""The frames of a video, by PyAV.

PyAV and not OpenCV, because it gives the timestamp of every frame, and all of its pixels also with 16 bits. Frames are
numbered in the order in which they are decoded; what a container says of its length and rate is not asked, since it is
wrong where frames were dropped. Times are timestamps, from that of the first frame. Decoders of PyAV leave a turned
video as it is stored, so it is turned here by its display matrix, as FFmpeg does.
"""

import math
import struct
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

from vireid_plugins.data.orientation import UPRIGHT, upright
from vireid_plugins.data.thermal import FULL
from vireid_plugins.detections.frames import Frame, Picture
from vireid_plugins.errors import DataError, InstallError
from vireid_plugins.io.regular import open_regular

# EXIF's orientation of each display matrix (a, b, c, d) by signs: pixel (x, y) is shown at (ax + cy, bx + dy).
_ORIENTATIONS = {
    (1, 0, 0, 1): UPRIGHT,
    (-1, 0, 0, 1): 2,
    (-1, 0, 0, -1): 3,
    (1, 0, 0, -1): 4,
    (0, 1, 1, 0): 5,
    (0, 1, -1, 0): 6,
    (0, -1, -1, 0): 7,
    (0, -1, 1, 0): 8,
}


class VideoFrames:
    """The frames of the first video stream of a file.

    Args:
        path: the file.
        first: number of its first frame; by default 1.

    Raises:
        InstallError: PyAV is missing.
    """

    is_video = True

    def __init__(self, path: Path, first: int | None) -> None:
        self.path, self._first = path, 1 if first is None else first
        self._av = _pyav()

    def __iter__(self) -> Iterator[Frame]:
        """Yield the frames in the order in which they are decoded.

        Raises:
            DataError: it is no video, or a frame cannot be decoded; the message gives its number.
        """
        number = self._first
        try:
            # As a stream, and without a protocol for anything else: a playlist could name any file or address.
            with (
                open_regular(self.path) as stream,
                self._av.open(stream, options={"protocol_whitelist": "none"}, metadata_errors="replace") as video,
            ):
                if not video.streams.video:
                    raise DataError(f"'{self.path}' has no video stream")
                start: float | None = None
                for decoded in video.decode(video.streams.video[0]):
                    start = decoded.time if start is None else start
                    time = None if start is None or decoded.time is None else decoded.time - start
                    yield Frame(number, "", self.path, time, partial(self._picture, decoded))
                    number += 1
        except self._av.error.FFmpegError as error:
            raise DataError(f"'{self.path}' cannot be decoded from frame {number} on: {_reason(error)}") from None
        except OSError as error:
            raise DataError(f"'{self.path}' cannot be read: {error.strerror or error}") from None

    def _picture(self, decoded: Any) -> Picture:
        """Return the pixels of a decoded frame, upright."""
        orientation = _orientation(decoded)
        if orientation is None:
            raise DataError(f"'{self.path}' is turned by an angle that is no multiple of 90 degrees")
        components = decoded.format.components
        if len(components) == 1 and components[0].bits > 8 and decoded.format.name.startswith("gray"):
            return Picture(upright(decoded.to_ndarray(format="gray16le"), orientation), FULL)
        return Picture(upright(decoded.to_ndarray(format="rgb24"), orientation), 255)


def _pyav() -> Any:
    """Import PyAV.

    Raises:
        InstallError: it is missing.
    """
    try:
        import av
    except ImportError as error:
        raise InstallError(f"videos need PyAV ({error}):", "    pip install av") from None
    return av


def _reason(error: Exception) -> str:
    text = getattr(error, "strerror", None) or str(error)
    return f"{text}; it must be a video that FFmpeg knows"


def _orientation(decoded: Any) -> int | None:
    """Return EXIF's number of what turns a decoded frame upright; None if it is turned by no quarters."""
    matrix = next((bytes(one) for one in decoded.side_data if one.type.name == "DISPLAYMATRIX"), b"")
    if len(matrix) < 20:
        return UPRIGHT
    a, b, _, c, d = struct.unpack("=5i", matrix[:20])
    size = max(math.hypot(a, b), math.hypot(c, d), 1.0)
    shares = [value / size for value in (a, b, c, d)]
    signs = [round(share) for share in shares]
    exact = all(abs(share - sign) < 0.01 for share, sign in zip(shares, signs, strict=True))
    return _ORIENTATIONS.get((signs[0], signs[1], signs[2], signs[3])) if exact else None
