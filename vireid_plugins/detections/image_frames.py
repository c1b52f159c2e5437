"""Images as frames: a folder with everything below it, a list of files, or one image.

Numbers: where all names are one text followed by digits, such as `000001.jpg` or `img7.png`, the digits are the
number of the frame, unless the first number is given. Else images are counted in the order of their paths, or
of the list.
"""

import re
from collections.abc import Iterator
from functools import partial
from pathlib import Path, PurePath

from vireid_plugins.data.decode import SEARCH_SUFFIXES, read_values
from vireid_plugins.detections.frames import Frame, Picture
from vireid_plugins.errors import DataError
from vireid_plugins.io.regular import read_text
from vireid_plugins.io.system_files import passed_over
from vireid_plugins.io.walk import folders_below


class ImageFrames:
    """The images of a folder, of a list or of one file.

    Args:
        path: the folder, the list (`.txt`, one path a line, relative to the list's folder) or the image.
        first: number of the first image in order; by default the numbers in the names, or 1.

    Raises:
        DataError: it cannot be read, or has no image.
    """

    is_video = False

    def __init__(self, path: Path, first: int | None) -> None:
        self.path = path
        try:
            files = _listed(path)
        except (OSError, UnicodeDecodeError) as error:
            raise DataError(f"'{path}' cannot be read: {getattr(error, 'strerror', None) or error}") from None
        if not files:
            raise DataError(f"'{path}' contains no image; images end in {', '.join(SEARCH_SUFFIXES)}")
        numbers = _numbers([file for _, file in files]) if first is None else None
        if numbers is None:
            start = 1 if first is None else first
            numbers = list(range(start, start + len(files)))
        self._images = sorted((number, name, file) for number, (name, file) in zip(numbers, files, strict=True))

    def __iter__(self) -> Iterator[Frame]:
        """Yield the images in the order of their numbers."""
        for number, name, file in self._images:
            yield Frame(number, name, file, None, partial(_decoded, file))


def _decoded(file: Path) -> Picture:
    return Picture(*read_values(str(file)))


def _listed(path: Path) -> list[tuple[str, Path]]:
    """Return names and files of images, in order."""
    if path.is_dir():
        found = [
            file
            for folder in folders_below(path, passed_over)
            for file in folder.iterdir()
            if file.suffix.lower() in SEARCH_SUFFIXES and not passed_over(file.name) and not file.is_dir()
        ]
        return sorted((file.relative_to(path).as_posix(), file) for file in found)
    if path.suffix.lower() == ".txt":
        lines = [line.strip() for line in read_text(path).splitlines()]
        return [(PurePath(line).as_posix(), path.parent / line) for line in lines if line]
    return [(path.name, path)]


def _numbers(files: list[Path]) -> list[int] | None:
    """Return the numbers in the names of images; None if they do not tell one from another."""
    parts = [re.fullmatch(r"(.*?)([0-9]{1,15})", file.stem, re.DOTALL) for file in files]
    if len({file.parent for file in files}) > 1 or not all(parts):
        return None
    numbers = [int(part[2]) for part in parts if part]
    beginnings = {part[1] for part in parts if part}
    return numbers if len(beginnings) == 1 and len(set(numbers)) == len(numbers) else None
