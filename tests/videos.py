"""Write small videos with PyAV."""

import struct
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

import av
import numpy as np


def write_video(
    file: Path,
    pictures: Sequence[np.ndarray],
    times: Sequence[int] | None = None,
    kind: str = "rgb24",
    shape: tuple[int, int] | None = None,
) -> Path:
    """Write pictures without loss, (H, W, 3) uint8 or gray of 16 bits, at times in tenths of a second: 0, 1, 2, ...

    `shape` is (H, W), which a video without pictures needs.
    """
    with av.open(str(file), "w") as video:
        codec = "ffv1" if file.suffix in (".mkv", ".avi") else "libx264rgb"
        options = {} if codec == "ffv1" else {"crf": "0"}
        stream = video.add_stream(codec, rate=10, options=options)
        stream.height, stream.width = shape or pictures[0].shape[:2]
        stream.pix_fmt = {"rgb24": "bgr0" if codec == "ffv1" else "rgb24"}.get(kind, kind)
        stream.time_base = stream.codec_context.time_base = Fraction(1, 10)
        video.start_encoding()
        for number, picture in enumerate(pictures):
            frame = av.VideoFrame.from_ndarray(picture, format=kind)
            frame.pts, frame.time_base = number if times is None else times[number], Fraction(1, 10)
            video.mux(stream.encode(frame))
        video.mux(stream.encode(None))
    return file


def turn(file: Path, matrix: tuple[float, float, float, float]) -> Path:
    """Give the track of an MP4 file a matrix (a, b, c, d): pixel (x, y) is shown at (ax + cy, bx + dy)."""
    content = file.read_bytes()
    a, b, c, d = (round(value * 2**16) for value in matrix)
    upright, turned = (
        struct.pack(">9i", *ab, 0, *cd, 0, 0, 0, 2**30) for ab, cd in (((2**16, 0), (0, 2**16)), ((a, b), (c, d)))
    )
    head, tail = content.split(b"tkhd")
    assert upright in tail
    file.write_bytes(head + b"tkhd" + tail.replace(upright, turned, 1))
    return file


def numbered(count: int, height: int = 24, width: int = 32) -> list[np.ndarray]:
    """Pictures (H, W, 3) that differ: a corner has the value 10 * number, and other pixels tell their place."""
    rows, columns = np.mgrid[:height, :width]
    ground = np.stack([columns * 3, rows * 5, columns + rows], -1).astype(np.uint8)
    pictures = []
    for number in range(count):
        picture = ground.copy()
        picture[:8, :8] = 10 * number
        pictures.append(picture)
    return pictures
