"""The folder of crops: ours to replace only if it holds nothing but the crops that its sidecar lists."""

import os
import re
from pathlib import Path

from vireid_plugins.detections.sidecar import NAME, read_crops
from vireid_plugins.errors import DataError
from vireid_plugins.escape import as_utf8
from vireid_plugins.io.system_files import passed_over

# Characters of a name's beginning; with four bytes each they leave room for the numbers.
_LONGEST = 40


def require_replaceable(folder: Path, source: Path) -> None:
    """Raise an error unless a folder does not exist, is empty, or holds crops and nothing else.

    Args:
        folder: the folder of crops.
        source: what is cropped; crops inside it would be images of the next run.

    Raises:
        DataError: it holds something else, which the message names, or is inside the source.
    """
    if folder.resolve().is_relative_to(source.resolve()):
        raise DataError(f"'{folder}' is inside '{source}', whose images are cropped; choose a folder beside it")
    if not os.path.lexists(folder):
        return
    if not folder.is_dir():
        raise DataError(f"'{folder}' exists and is no folder; refusing to overwrite it. Choose another folder")
    names = {file.name for file in folder.iterdir() if not passed_over(file.name)}
    if not names:
        return
    if NAME not in names:
        raise DataError(f"'{folder}' exists and is no folder of crops; refusing to overwrite it. Choose another folder")
    strangers = names - {NAME} - {crop.file for crop in read_crops(folder)}
    if strangers:
        raise DataError(
            f"'{folder}' contains '{min(strangers)}', which '{NAME}' does not list; refusing to overwrite it. Move it, "
            "or choose another folder"
        )


def name_of_source(path: Path) -> str:
    """Return what the names of crops and tracks of a video or a folder begin with."""
    name = re.sub(r"\s+", "_", path.resolve().stem if path.is_file() else path.resolve().name)
    # crops.csv names them in UTF-8.
    return as_utf8(name[:_LONGEST]) or "crop"
