"""Find the images in a folder that somebody keeps: with links, unreadable files and files of other kinds."""

import os
import stat
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from vireid_plugins.data.decode import SEARCH_SUFFIXES as SUFFIXES
from vireid_plugins.errors import DataError
from vireid_plugins.io.system_files import passed_over
from vireid_plugins.search.gallery_folder import is_gallery
from vireid_plugins.search.moved import is_broken, is_folder, one_spelling


class Found(NamedTuple):
    """An image file.

    Attributes:
        file: its path as it was reached from the folder that was given.
        path: the same for every spelling of the folder; see `one_spelling`.
        stamp: size and modification time; if they change, the image has changed.
    """

    file: Path
    path: str
    stamp: str


class Unread(NamedTuple):
    """A file or folder that could not be read: as in `Found`, and why."""

    file: Path
    path: str
    reason: str

    def __str__(self) -> str:
        return f"'{self.file}' cannot be read: {self.reason}"


@dataclass
class Folder:
    """What a folder holds.

    Attributes:
        images: the images, sorted.
        unread: what looks like an image or a folder and cannot be read.
        left_out: number of files of every other ending.
        tops: the folder and the linked folders that were followed, resolved.
    """

    images: list[Found] = field(default_factory=list)
    unread: list[Unread] = field(default_factory=list)
    left_out: Counter[str] = field(default_factory=Counter)
    tops: list[str] = field(default_factory=list)


def find_images(folder: Path, follow: bool = True) -> Folder:
    """Return the images below a folder, or the file itself if `folder` is a file.

    Linked folders are followed, each folder once. Hidden files, files of operating systems and galleries are passed
    over.

    Args:
        folder: a folder or a file.
        follow: follow linked folders; without it they are left out.

    Raises:
        DataError: the folder does not exist, cannot be read, or contains nothing that looks like an image.
    """
    endings = f"images end in {', '.join(SUFFIXES)}"
    try:
        mode = folder.stat().st_mode
        if stat.S_ISDIR(mode):
            os.scandir(folder).close()
    except (FileNotFoundError, NotADirectoryError):
        raise DataError(f"'{folder}' does not exist; {endings}") from None
    except OSError as error:
        raise DataError(f"'{folder}' cannot be read: {error.strerror}") from None
    found = Folder()
    if stat.S_ISDIR(mode):
        _walk(folder, found, follow)
    else:
        _take(folder, one_spelling(folder), found)
    if not found.images and not found.unread:
        others = f"; it has {listed(found.left_out)}" if found.left_out else ""
        raise DataError(f"'{folder}' contains no image; {endings}{others}")
    _drop_links(found)
    found.images.sort()
    found.unread.sort()
    return found


def listed(left_out: Counter[str]) -> str:
    """Return how many files of which ending were left out."""
    return ", ".join(
        f"{count} {ending}" for ending, count in sorted(left_out.items(), key=lambda one: (-one[1], one[0]))
    )


def _walk(root: Path, found: Folder, follow: bool) -> None:
    """Find the images below a folder, folders before links to folders."""
    seen: set[tuple[int, int]] = set()
    folders, links = [root], list[Path]()
    while folders or links:
        linked = not folders
        folder = links.pop(0) if linked else folders.pop()
        real = os.path.realpath(folder)
        try:
            status = folder.stat()
            if (status.st_dev, status.st_ino) in seen:
                continue
            seen.add((status.st_dev, status.st_ino))
            if folder != root and is_gallery(folder):
                continue
            with os.scandir(folder) as entries:
                inside = sorted(entries, key=lambda entry: entry.name)
        except OSError as error:
            found.unread.append(Unread(folder, real, error.strerror or str(error)))
            continue
        if linked or folder == root:
            found.tops.append(real)
        below: list[Path] = []
        for entry in inside:
            if passed_over(entry.name):
                continue
            file = folder / entry.name
            if entry.is_dir(follow_symlinks=False):
                below.append(file)
            elif entry.is_symlink() and is_folder(file):
                links += [file] if follow else []
            else:
                _take_by_ending(file, str(Path(real, entry.name)), found)
        folders += reversed(below)


def _take_by_ending(file: Path, path: str, found: Folder) -> None:
    """Take a file if it ends as an image, or is a broken link without any ending, such as one to a folder."""
    ending = file.suffix.lower()
    if ending in SUFFIXES or (not ending and is_broken(file)):
        _take(file, path, found)
    else:
        found.left_out[ending or "without an ending"] += 1


def _take(file: Path, path: str, found: Folder) -> None:
    try:
        status = file.stat()
    except OSError as error:
        broken = file.is_symlink() and isinstance(error, FileNotFoundError)
        reason = (
            f"it is a link to '{file.readlink()}', which does not exist" if broken else error.strerror or str(error)
        )
        found.unread.append(Unread(file, path, reason))
        return
    if stat.S_ISREG(status.st_mode):
        found.images.append(Found(file, path, f"{status.st_size} {status.st_mtime_ns}"))
    else:
        found.unread.append(Unread(file, path, "it is no regular file"))


def _drop_links(found: Folder) -> None:
    """Leave out links to images that are found under their own names, and all but one of several links to an image."""
    links = {image.path for image in found.images if Path(image.path).is_symlink()}
    known = {image.path for image in found.images} - links
    kept = []
    for image in sorted(found.images):
        if image.path in links:
            target = one_spelling(os.path.realpath(image.path))
            if target in known:
                continue
            known.add(target)
        kept.append(image)
    found.images[:] = kept
