"""Feature files: a `.npz` with `features` (n, D), `paths` (n,) and optionally `split`."""

import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from vireid_plugins.errors import FeatureError
from vireid_plugins.evaluation.feature_table import check_features
from vireid_plugins.evaluation.types import Floats
from vireid_plugins.io.array_file import open_arrays
from vireid_plugins.io.arrays import read_npz
from vireid_plugins.io.files import write_atomic
from vireid_plugins.io.regular import open_regular

# Names of an array of features in files of several.
FEATURES = ("features", "feature", "feats", "feat", "embeddings")
_FORM = "a .npz with 'features' (n, D) and 'paths' (n,)"


class FeatureFile(NamedTuple):
    """Content of a feature file; `split` is None if the file has none."""

    features: Floats
    paths: list[str]
    split: int | None


def save_features(file: Path, features: Floats, paths: Sequence[str], split: int | None = None) -> None:
    """Write a feature file.

    Args:
        file: path that ends in `.npz`, which is added otherwise.
        features: (n, D).
        paths: n paths relative to the data set's folder.
        split: split that the model was trained on.

    Raises:
        ConfigError: the file cannot be written; an existing one is unchanged.
        FeatureError: see `check_features`; nothing is written.
    """
    features = check_features(features, paths)
    optional = {} if split is None else {"split": np.array(split)}
    with write_atomic(file if file.name.endswith(".npz") else file.with_name(f"{file.name}.npz")) as stream:
        np.savez(stream, allow_pickle=False, features=features, paths=np.asarray(paths, dtype=str), **optional)


def require_split(content: FeatureFile, split: int | None, file: Path) -> None:
    """Reject features of a model trained on another split; its training identities would be scored.

    Raises:
        FeatureError: the file's model was trained on another split than `split`.
    """
    if content.split is not None and split is not None and content.split != split:
        raise FeatureError(
            f"'{file}' is from a model trained on split {content.split}, but split {split} was given; the model would "
            f"be tested on identities it was trained on. Use --split {content.split}"
        )


def load_features(file: Path, paths: Path | None = None) -> FeatureFile:
    """Read a feature file, without running code in it.

    Args:
        file: a `.npz` with everything, or features in any file of arrays.
        paths: the paths of the rows, if the file does not have them: text with a path per line, or an array.

    Raises:
        FeatureError: the file is missing, unreadable, broken or of another format, or lacks an array; the message says
            what it has.
    """
    if paths is not None:
        return _with_paths(file, paths)
    try:
        with open_regular(file) as stream:
            start = stream.read(128)
            if not zipfile.is_zipfile(stream):
                raise FeatureError(f"'{file}' is not a .npz file{_other_format(file, start)}; it must be {_FORM}")
        arrays, found = read_npz(file, ("features", "paths", "split"))
    except FileNotFoundError:
        raise FeatureError(f"'{file}' does not exist; it must be {_FORM}") from None
    except OSError as error:
        raise FeatureError(f"'{file}' cannot be read: {error.strerror or error}") from None
    except FeatureError:
        raise
    except (ValueError, TypeError, MemoryError) as error:
        said = " ".join(str(error).split())
        raise FeatureError(
            f"'{file}' cannot be read: {said}. It must be a .npz of plain arrays: save paths as str, not as object"
        ) from None
    missing = [name for name in ("features", "paths") if name not in arrays]
    if missing:
        raise FeatureError(
            f"'{file}' has no array {' and no '.join(missing)}; it has {', '.join(found) or 'nothing'}. It must be "
            f"{_FORM}"
        )
    return FeatureFile(arrays["features"], _texts(arrays["paths"], file), _split(arrays.get("split"), file))


def _with_paths(file: Path, paths: Path) -> FeatureFile:
    """Return features and paths from two files of arrays."""
    found = []
    for source, names in ((file, FEATURES), (paths, ("paths",))):
        arrays = open_arrays(source)
        array = arrays.find(names)
        if array is None:
            raise FeatureError(f"'{source}' has no array {names[0]}; it has {', '.join(arrays.names) or 'nothing'}")
        found.append(array)
    features, rows = found
    # Names of images may be numbers.
    rows = rows.astype(str) if rows.dtype.kind in "iu" else rows
    texts = _texts(rows, paths)
    if features.ndim != 2 or len(features) != len(texts):
        raise FeatureError(f"'{file}' has features {features.shape}, and '{paths}' {len(texts)} paths; one per row")
    return FeatureFile(features, texts, None)


def _texts(paths: npt.NDArray[Any], file: Path) -> list[str]:
    """Return paths as text."""
    if paths.ndim != 1 or paths.dtype.kind not in "US":
        raise FeatureError(f"'{file}': paths must be (n,) strings; got {paths.shape} of {paths.dtype}")
    if paths.dtype.kind == "U":
        return [str(name) for name in paths]
    try:
        return [bytes(name).decode("utf-8") for name in paths]
    except UnicodeDecodeError as error:
        raise FeatureError(
            f"'{file}': paths are bytes that are not UTF-8, such as {error.object!r}; save them as str: "
            "np.array([path.decode(ENCODING) for path in paths])"
        ) from None


def _split(split: Any, file: Path) -> int | None:
    if split is None:
        return None
    if split.size != 1 or split.dtype.kind not in "iu":
        raise FeatureError(f"'{file}': split must be one whole number; got {split.shape} of {split.dtype}")
    return int(split.item())


def _other_format(file: Path, start: bytes) -> str:
    """Return what the file is instead, and how to convert it, if that is known."""
    convert = "load it there and write np.savez('F.npz', features=features, paths=paths)"
    add = "give the paths of its rows (--paths), or their labels instead of a protocol (--ids, --modalities)"
    if start.startswith(b"\x93NUMPY"):
        return f" but a .npy file, which holds one array without paths: {add}"
    if start.startswith(b"MATLAB") or b"\x89HDF" in start or file.suffix == ".mat":
        return f" but one of MATLAB or HDF5: up to MATLAB 7, {add}; else {convert}"
    if start.startswith(b"\x80"):
        return f" but a pickled one, which could run code: {convert}"
    return ""
