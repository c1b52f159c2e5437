"""Cut boxes out of frames: a folder of crops with a sidecar, which replaces a former one as a whole."""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from vireid_plugins.detections.boxes import Box, Boxes, inside, pixels_of
from vireid_plugins.detections.choose import chosen
from vireid_plugins.detections.crop_file import cut, encoded
from vireid_plugins.detections.crop_folder import name_of_source, require_replaceable
from vireid_plugins.detections.frames import Frame, open_frames
from vireid_plugins.detections.quality import quality_of
from vireid_plugins.detections.read import read_boxes
from vireid_plugins.detections.sidecar import NAME, Crop, sidecar_text
from vireid_plugins.detections.waiting import Waiting
from vireid_plugins.errors import DataError
from vireid_plugins.io.files import write_folder


@dataclass(frozen=True)
class Settings:
    """How boxes become crops.

    Attributes:
        camera: name of the camera.
        first_frame: number that the boxes' file gives to the first frame; by default 1, or the numbers in the names of
            images.
        least_confidence: boxes below it are left out.
        category: of the boxes to take, where the file has categories.
        every: frames between two crops of a track.
        start: seconds since 1970 (UTC) at the first frame of a video; times count from there.
    """

    camera: str = ""
    first_frame: int | None = None
    least_confidence: float | None = None
    category: str = "person"
    every: int = 1
    start: float | None = None


@dataclass
class Report:
    """What became of the boxes.

    Attributes:
        crops: the crops.
        frames: number of frames that were decoded.
        left_out: numbers of boxes that became none, by reason.
    """

    crops: list[Crop] = field(default_factory=list)
    frames: int = 0
    left_out: Counter[str] = field(default_factory=Counter)


def crop(
    source: Path,
    boxes: Path | Boxes,
    folder: Path,
    settings: Settings = Settings(),
    report: Callable[[int], object] = lambda frames: None,
) -> Report:
    """Write the crops of boxes on a video or on images to a folder.

    The folder appears complete or not at all, and replaces a former one of crops; what a killed run has left is
    removed by the next. Equal input gives equal files.

    Args:
        source: a video, a folder of images, a list of images (`.txt`) or an image.
        boxes: their file, or its content.
        folder: the folder to write.
        settings: see `Settings`.
        report: called with the number of frames so far, after each.

    Raises:
        DataError: the source or the boxes cannot be read or do not fit each other, or the folder holds something else.
        ConfigError: a setting does not fit the boxes, or the folder cannot be written.
        InstallError: the source is a video, and PyAV is missing.
    """
    require_replaceable(folder, source)
    found = boxes if isinstance(boxes, Boxes) else read_boxes(boxes)
    taken, left_out = chosen(found, settings.least_confidence, settings.category, settings.every)
    frames = open_frames(source, settings.first_frame)
    waiting = Waiting(found, taken, frames, settings.first_frame)
    done = Report(left_out=left_out)
    name = name_of_source(source)
    with write_folder(folder) as fresh:
        for frame in frames:
            if not waiting:
                break
            done.frames += 1
            _crop_frame(frame, waiting.take(frame), fresh, name, settings, done)
            report(done.frames)
        waiting.require_none(done.frames)
        (fresh / NAME).write_bytes(sidecar_text(done.crops))
    return done


def _crop_frame(frame: Frame, boxes: list[Box], folder: Path, name: str, settings: Settings, done: Report) -> None:
    """Write the crops of a frame."""
    if not boxes:
        return
    picture = frame.picture()
    height, width = picture.values.shape[:2]
    for place, box in enumerate(boxes):
        pixels = pixels_of(box, width, height)
        if pixels is None:
            done.left_out["outside the image or without an area"] += 1
            continue
        piece = cut(picture, pixels)
        ending, content = encoded(piece)
        file = f"{name}_{frame.number:06d}_{place:02d}{ending}"
        (folder / file).write_bytes(content)
        try:
            quality = round(quality_of(piece, inside(box, width, height)), 4)
        except ValueError as error:
            raise DataError(f"'{frame.file}' cannot be used in the box of '{box.origin}': {error}") from None
        done.crops.append(_line(file, frame, box, name, settings, quality))


def _line(file: str, frame: Frame, box: Box, name: str, settings: Settings, quality: float) -> Crop:
    time = None if frame.time is None else round(frame.time + (settings.start or 0.0), 6)
    return Crop(
        *(file, str(frame.file.absolute()), frame.number, time, settings.camera),
        f"{name}_{box.track}" if box.track else "",
        *(box.left, box.top, box.width, box.height),
        box.confidence,
        quality,
    )
