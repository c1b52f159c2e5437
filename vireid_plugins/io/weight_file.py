"""Load weight files without executing code from them, and say what is wrong with those that are none."""

import functools
import inspect
import re
import warnings
import zipfile
from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import urlparse

import numpy as np
import torch
from torch import Tensor

from vireid_plugins.errors import DataError
from vireid_plugins.io.regular import open_regular, sha256_of, wrong_download

# What wrappers put into the names of a model's tensors.
PARALLEL, COMPILED = "module.", re.compile(r"(?<![^.])_orig_mod\.")
# Where fast-reid, torch's examples and AGW's code put the state dict.
CONTAINERS = ("model", "state_dict", "model_state", "net")
# The first digits of a file's SHA-256 in its name, as torch hub checks them.
DIGEST = re.compile(r"-([0-9a-f]{8,64})\.\w+$")
# torch.save stores its records uncompressed. This many times the size of the file cannot be weights.
UNPACKED = 16
RESAVE = "save its tensors alone: torch.save({'model': network.state_dict()}, FILE)"


def read_weight_file(file: Path, *, downloaded: bool = False) -> dict[str, Any]:
    """Load a file of tensors, numpy numbers and arrays, and plain values onto the CPU.

    Numpy values are allowed because public training scripts store their best rank-1 and mAP in the checkpoint. Every
    weight file is read here. The file is left as it is.

    Args:
        file: a regular file, or a link to one.
        downloaded: the file is named by its address, so a digest in its name is its own. Of other files, the digest is
            checked if the name is that of one of torchvision's.

    Raises:
        DataError: the file is missing, truncated or damaged, contains other objects, or is not a dict.
    """
    try:
        _require_weights(file)
        with torch.serialization.safe_globals(_numpy_values()), warnings.catch_warnings():
            # About formats and protocols; what is no weight file raises.
            warnings.simplefilter("ignore")
            content = _load(file)
        # After what says more about a file that is torn or no weights at all.
        _require_digest(file, downloaded)
    except _RefusedError as error:
        raise DataError(f"'{file}' cannot be loaded as weights: {error}") from None
    except Exception as error:  # torch's unpickler raises all kinds of errors on a truncated file
        raise DataError(f"'{file}' cannot be loaded as weights: {_reason(error, file)}") from None
    if not isinstance(content, dict):
        raise DataError(
            f"'{file}' cannot be loaded as weights: it contains a {type(content).__name__}, not a dict of weights"
        )
    return content


def named_tensors(content: Mapping[str, object]) -> dict[str, Tensor]:
    """Return the tensors of a weight file by name, wherever its state dict is, without the prefix of a wrapped model.

    Args:
        content: a state dict, alone or below `model`, `state_dict`, `model_state` or `net`, among other values.
    """
    for key in CONTAINERS:
        inner = content.get(key)
        content = inner if isinstance(inner, Mapping) else content
    return _unwrapped({str(name): value for name, value in content.items() if isinstance(value, Tensor)})


def state_dict_of(weights: object, what: str) -> dict[str, Tensor]:
    """Return a state dict with its numpy arrays as tensors, and without the prefix of a wrapped model.

    Args:
        weights: tensors or arrays by name.
        what: the entry and its file, for messages.

    Raises:
        DataError: it is no mapping, or has a value that is no tensor.
    """
    if not isinstance(weights, Mapping):
        raise DataError(f"{what} must be a state dict, but is {_kind(weights)}; {RESAVE}")
    tensors: dict[str, Tensor] = {}
    for name, value in weights.items():
        if not isinstance(name, str):
            raise DataError(f"{what} must be a state dict, but has a {type(name).__name__} as a name: {name!r}")
        if not isinstance(value, Tensor | np.ndarray):
            raise DataError(f"{what} must be a state dict, but '{name}' is {_kind(value)}, not a tensor; {RESAVE}")
        try:
            tensors[name] = value if isinstance(value, Tensor) else _from_numpy(value)
        except (TypeError, ValueError):  # arrays of text or objects
            raise DataError(f"{what}: '{name}' is an array of {value.dtype}, not a tensor; {RESAVE}") from None
    return _unwrapped(tensors)


def _unwrapped(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """Return tensors without what `torch.compile` and, once or twice, `DataParallel` and its kin put into all names."""
    names = {name: COMPILED.sub("", name) for name in tensors}
    while names and all(name.startswith(PARALLEL) for name in names.values()):
        names = {key: name.removeprefix(PARALLEL) for key, name in names.items()}
    # Names that become one stay apart.
    unique = len(set(names.values())) == len(names)
    return {names[key]: value for key, value in tensors.items()} if unique else tensors


class _RefusedError(Exception):
    """Why a file cannot hold weights."""


def _load(file: Path) -> object:
    """Return the content of a file that torch or safetensors wrote."""
    if file.suffix != ".safetensors":
        return torch.load(file, map_location="cpu", weights_only=True)
    try:
        from safetensors.torch import load_file
    except ImportError:
        raise _RefusedError("files .safetensors need the package: pip install safetensors") from None
    return load_file(file)


def _require_weights(file: Path) -> None:
    """Raise unless the file is one that torch may open."""
    if file.is_symlink() and not file.exists():
        raise _RefusedError(f"it is a link to '{file.readlink()}', which cannot be opened")
    with open_regular(file) as stream:
        start = stream.read(512)
    if wrong := wrong_download(start):
        raise _RefusedError(wrong)
    if zipfile.is_zipfile(file):
        with zipfile.ZipFile(file, mode="r") as archive:
            unpacked = sum(record.file_size for record in archive.infolist())
        if unpacked > UNPACKED * file.stat().st_size:
            raise _RefusedError(f"it would unpack to {unpacked} bytes, and files of torch.save are not compressed")


def _require_digest(file: Path, downloaded: bool) -> None:
    """Raise unless the file's SHA-256 starts as its name says, if that is known to be its digest."""
    named = DIGEST.search(file.name)
    if not named or not (downloaded or file.name in _torchvision_names()):
        return
    start, found = named[1], sha256_of(file)
    if not found.startswith(start):
        raise _RefusedError(
            f"its SHA-256 starts with {found[: len(start)]}, but its name says {start}: it is damaged or another file"
        )


@functools.cache
def _torchvision_names() -> frozenset[str]:
    """Return the names of torchvision's weight files."""
    from torchvision.models import get_model_weights, list_models  # imported here because it takes a second

    urls = [weights.url for model in list_models() for weights in get_model_weights(model)]
    return frozenset(PurePosixPath(urlparse(url).path).name for url in urls)


def _from_numpy(array: np.ndarray[Any, Any]) -> Tensor:
    """Return an array as a tensor, whatever its byte order and strides."""
    return torch.from_numpy(np.ascontiguousarray(array, array.dtype.newbyteorder("=")).reshape(array.shape))


def _kind(value: object) -> str:
    """Return the type of a value with its article."""
    return "None" if value is None else f"{'a ' if isinstance(value, Mapping) else ''}{type(value).__name__}"


def _reason(error: Exception, file: Path) -> str:
    """Return why a file was not loaded, without torch's advice to load it unsafely."""
    if isinstance(error, OSError) and error.strerror:
        return "it does not exist" if isinstance(error, FileNotFoundError) else error.strerror
    text = str(error)
    reference = re.search(r"GLOBAL (\S+)", text)
    if reference and not _ends_within(file, reference[1].rpartition(".")[2]):
        return (
            f"it holds something that is no tensor: it refers to {reference[1]}, and files that could execute code are "
            f"not loaded; where it was written, {RESAVE}"
        )
    if "TorchScript" in text:
        return f"it is a TorchScript program, not weights; where it was written, {RESAVE}"
    return "it is torn, damaged or no file of torch.save"


def _ends_within(file: Path, name: str) -> bool:
    """Return whether a file ends with a name, or a letter later: it was cut there, and what follows is not known."""
    return name.encode() in file.read_bytes()[-len(name) - 1 :]


def _numpy_values() -> list[Any]:
    """Return the globals that pickles of numpy values refer to, under their numpy 2 and numpy 1 names."""
    dtypes = [kind for _, kind in inspect.getmembers(np.dtypes, inspect.isclass)]
    array = np._core.multiarray._reconstruct  # type: ignore[attr-defined]
    number = np._core.multiarray.scalar  # type: ignore[attr-defined]
    numpy_1 = [(array, "numpy.core.multiarray._reconstruct"), (number, "numpy.core.multiarray.scalar")]
    return [np.ndarray, np.dtype, *dtypes, array, number, *numpy_1]
