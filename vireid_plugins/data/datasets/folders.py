"""Images in the folders of a data set, whatever their suffix."""

import os
from collections.abc import Callable
from pathlib import Path

from vireid_plugins.data.decode import DATASET_SUFFIXES
from vireid_plugins.errors import DataError
from vireid_plugins.io.system_files import passed_over

_USUAL = ".jpg"


def without_suffix(path: str) -> str:
    """Return the path of an image without its suffix, or any other path as it is."""
    stem, suffix = os.path.splitext(path)  # noqa: PTH122  much faster for many
    return stem if suffix.lower() in DATASET_SUFFIXES else path


def exists(path: Path) -> bool:
    """Return whether there is a file or folder.

    Raises:
        DataError: a folder above it cannot be read.
    """
    try:
        path.stat()
    except (FileNotFoundError, NotADirectoryError):
        return False
    except (OSError, ValueError) as error:
        raise DataError(f"'{path}' cannot be read: {getattr(error, 'strerror', None) or error}") from None
    return True


def image_names(folder: str | Path) -> list[str]:
    """Return the sorted names of the images in a folder, none if it does not exist.

    Names end in one of `DATASET_SUFFIXES` in any letter case. Other files, files of the system and folders are passed
    over; a link that leads nowhere is not, so that reading it is an error.

    Raises:
        DataError: the folder cannot be read, or two images differ only in their suffix; the message names them.
    """
    try:
        with os.scandir(folder) as entries:
            files = [entry.name for entry in entries if not entry.is_dir()]
    except FileNotFoundError:
        return []
    except OSError as error:
        raise DataError(f"folder '{folder}' cannot be read: {error.strerror}") from None
    usual = [name for name in files if name.endswith(_USUAL) and not name.startswith(".")]
    if len(usual) == len(files):
        # Nearly every folder; with one suffix, no two images differ only in theirs.
        return sorted(usual)
    names = sorted(name for name in files if without_suffix(name) != name and not passed_over(name))
    stems: dict[str, str] = {}
    for name in names:
        first = stems.setdefault(without_suffix(name), name)
        if first != name:
            raise DataError(
                f"folder '{folder}': '{first}' and '{name}' differ only in their suffix; keep one file per image"
            )
    return names


class ListedImages:
    """Finds the images that lists name; on disk an image may have another suffix.

    Args:
        names: returns the names of the images in a folder that listed paths are relative to.
    """

    def __init__(self, names: Callable[[str], list[str]]) -> None:
        self.names = names
        self._folders: dict[str, dict[str, str]] = {}

    def on_disk(self, path: str) -> str:
        """Return the path of the file, or `path` itself if there is none.

        Raises:
            DataError: see `image_names`.
        """
        folder, _, name = path.rpartition("/")
        if folder not in self._folders:
            self._folders[folder] = {without_suffix(each): each for each in self.names(folder)}
        found = self._folders[folder].get(without_suffix(name), name)
        return f"{folder}/{found}" if folder else found
