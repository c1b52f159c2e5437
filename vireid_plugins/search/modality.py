"""How the modality of an image is told: it is given, in the name of a folder, or guessed from the colors."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import numpy.typing as npt

from vireid_plugins.data.batch import INFRARED, VISIBLE
from vireid_plugins.data.datasets.base import MODALITIES
from vireid_plugins.data.modality_guess import guess_modality
from vireid_plugins.errors import DataError, require_name
from vireid_plugins.search.extractor import NAMES

# Words in a folder's name that identify the modality of its images.
FOLDERS = {
    VISIBLE: ("visible", "vis", "rgb", "colour", "color", "day"),
    INFRARED: ("infrared", "ir", "nir", "thermal", "tir", "night"),
}
WAYS = (*NAMES, "folder", "auto")
Pixels = npt.NDArray[np.uint8]
Teller = Callable[[Path, Pixels], tuple[int, float]]


def modality_by_folder(file: Path, root: Path) -> int:
    """Return the modality that is in the name of a folder on the path from `root`, inclusive, to a file.

    Raises:
        DataError: no folder names a modality, or two folders name different ones.
    """
    parts = [part.lower() for part in (root.name, *file.relative_to(root).parts[:-1])]
    words = {word for part in parts for word in part.replace("-", "_").split("_")}
    named = [modality for modality, names in FOLDERS.items() if words & set(names)]
    if len(named) != 1:
        accepted = "; ".join(f"{MODALITIES[m]}: {', '.join(names)}" for m, names in FOLDERS.items())
        problem = "folder names of both modalities" if named else "no folder name of a modality"
        raise DataError(f"'{file}': its path has {problem}; folder names are {accepted}")
    return named[0]


def modality_teller(way: str, root: Path) -> Teller:
    """Return a function from a file and its pixels to its modality and the certainty of that, 1 unless it is guessed.

    Args:
        way: how modalities are determined, one of WAYS.
        root: the folder that is indexed or queried.

    Raises:
        ConfigError: `way` is unknown.
    """
    require_name("--modality", way, WAYS)
    if way == "folder":
        return lambda file, _: (modality_by_folder(file, root if root.is_dir() else root.parent), 1.0)
    if way == "auto":
        return lambda _, pixels: guess_modality(pixels)[:2]
    return lambda *_: (NAMES[way], 1.0)
