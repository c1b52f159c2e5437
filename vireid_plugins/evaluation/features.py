"""Feature files: a `.npz` with `features` (n, D), `paths` (n,) and optionally `split`."""

import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from vireid_plugins.errors import FeatureError
from vireid_plugins.evaluation.types import Floats
from vireid_plugins.io.arrays import read_npz
from vireid_plugins.io.files import write_atomic
from vireid_plugins.io.regular import open_regular


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
    """
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


def load_features(file: Path) -> FeatureFile:
    """Read a feature file, without running code in it.

    Raises:
        FeatureError: the file is missing or broken, or lacks an array.
    """
    form = "a .npz with 'features' (n, D) and 'paths' (n,)"
    try:
        with open_regular(file) as stream:
            if not zipfile.is_zipfile(stream):
                raise FeatureError(f"'{file}' is not a .npz file; it must be {form}")
        arrays, found = read_npz(file, ("features", "paths", "split"))
        missing = [name for name in ("features", "paths") if name not in arrays]
        if missing:
            raise FeatureError(f"'{file}' has no array {' and no '.join(missing)}; it has {', '.join(found)}")
        features, paths = arrays["features"], arrays["paths"]
        split = int(arrays["split"]) if "split" in arrays else None
    except FileNotFoundError:
        raise FeatureError(f"'{file}' does not exist; it must be {form}") from None
    except OSError as error:
        raise FeatureError(f"'{file}' cannot be read: {error.strerror or error}") from None
    except (ValueError, TypeError) as error:
        raise FeatureError(
            f"'{file}' cannot be read: {error}. It must be a .npz of plain arrays: save paths as str, not as object"
        ) from None
    if paths.ndim != 1 or paths.dtype.kind not in "US":
        raise FeatureError(f"'{file}': paths must be (n,) strings; got {paths.shape} of {paths.dtype}")
    names = np.char.decode(paths, "utf-8") if paths.dtype.kind == "S" else paths
    return FeatureFile(features, [str(name) for name in names], split)
