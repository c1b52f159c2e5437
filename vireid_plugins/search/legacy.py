"""Galleries of earlier releases: how they are read, and converted where they are.

Their `gallery.json` names the version of the other files, with their digests, and lists the images with their numbers.
`vectors.npy` (n, D) float32 belongs to version 1, `vectors.2.npy` to version 2, and so on. Their faiss indexes are not
needed: a search is exact.
"""

import hashlib
import json
import os
from contextlib import suppress
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt

from vireid_plugins.errors import DataError
from vireid_plugins.io.regular import open_regular, read_bytes
from vireid_plugins.search.engines.base import Record, Vectors, check_vectors, damaged
from vireid_plugins.search.engines.folder import FolderEngine
from vireid_plugins.search.gallery_folder import LEGACY, writing
from vireid_plugins.search.moved import one_spelling

# Largest `gallery.json` that is read, far more than ten million images.
MOST = 8 * 2**30


class DamageError(Exception):
    """Files that do not fit together; the message says which and why."""


@dataclass(frozen=True)
class Earlier:
    """A gallery of an earlier release: its images with their vectors (n, D), and what else it knew."""

    records: list[Record]
    vectors: Vectors
    made_by: dict[str, str]
    folders: dict[str, list[str]]
    place: str


def convert(folder: Path) -> None:
    """Make a gallery of an earlier release one of today.

    Raises:
        DataError: it cannot be read, is damaged, or is being written by another process.
        ConfigError: it cannot be written.
    """
    with writing(folder):
        if not os.path.isfile(folder / LEGACY):  # noqa: PTH113  another process was faster
            return
        earlier = read(folder)
        with FolderEngine(folder, earlier.vectors.shape[1]) as engine:
            engine.upsert(earlier.records, earlier.vectors)
            facts = {"made_by": earlier.made_by, "folders": earlier.folders, "place": earlier.place}
            engine.set_facts({name: json.dumps(value) for name, value in facts.items()})
        for file in (folder / LEGACY, *folder.glob("vectors*.npy"), *folder.glob("gallery*.faiss")):
            with suppress(OSError):
                file.unlink()


def read(folder: Path) -> Earlier:
    """Return a gallery of an earlier release.

    Raises:
        DataError: it cannot be read or is damaged.
    """
    try:
        note = json.loads(read_bytes(folder / LEGACY, MOST))
        _check_note(note)
        vectors = check_vectors(_vectors(folder, note), len(note["numbers"]), note["width"])
        newest = {one_spelling(entry["path"]): row for row, entry in enumerate(note["entries"])}
        rows = sorted(newest.values())
        spelled = {row: path for path, row in newest.items()}
        entries = [note["entries"][row] for row in rows]
        records = [
            Record(spelled[row], entry["modality"], entry["stamp"]) for row, entry in zip(rows, entries, strict=True)
        ]
        place = note.get("place", str(folder.resolve()))
        return Earlier(records, vectors[rows], note["made_by"], note.get("folders", {}), place)
    except PermissionError as error:
        raise DataError(f"the gallery '{folder}' cannot be read: '{error.filename}': {error.strerror}") from None
    except OSError as error:
        name = Path(error.filename).name if error.filename else LEGACY
        raise damaged(folder, f"'{name}': {error.strerror or error}") from None
    except KeyError as error:
        raise damaged(folder, f"{LEGACY} lacks {error}") from None
    except DataError as error:
        raise damaged(folder, str(error)) from None
    except Exception as error:
        # Damaged contents raise errors of many kinds.
        raise damaged(folder, str(error) or type(error).__name__) from None


def _vectors(folder: Path, note: dict[str, Any]) -> npt.NDArray[Any]:
    version = note.get("version", 1)
    if type(version) is not int or version < 1:
        raise DamageError(f"{LEGACY} names version {version!r}")
    name = f"vectors{'' if version == 1 else f'.{version}'}.npy"
    with open_regular(folder / name) as stream:
        vectors = _read_vectors(stream, name, len(note["numbers"]), note["width"])
    # Those of the first commits have no digests.
    digest = note.get("digests", {}).get("vectors")
    if digest and hashlib.sha256(vectors.reshape(-1).view(np.uint8).data).hexdigest() != digest:
        raise DamageError(f"{name} has another digest than {LEGACY} says")
    return vectors.astype(np.float32, copy=False)


def _read_vectors(stream: BinaryIO, name: str, count: int, width: int) -> npt.NDArray[Any]:
    """Read vectors (count, width) from an .npy file; its header is compared before memory is allocated."""
    if np.lib.format.read_magic(stream) != (1, 0):
        raise DamageError(f"{name} is not an .npy file of version 1.0")
    shape, fortran, dtype = np.lib.format.read_array_header_1_0(stream)
    if shape != (count, width) or dtype.kind != "f" or fortran:
        raise DamageError(f"{count} images of {width} numbers, but {name} holds {dtype} of shape {shape}")
    left = os.fstat(stream.fileno()).st_size - stream.tell()
    if left != count * width * dtype.itemsize:
        raise DamageError(f"{name} is cut off or too long: {left:,} bytes for {count} x {width} numbers")
    return np.fromfile(stream, dtype, count * width).reshape(count, width)


def _check_note(note: Any) -> None:
    """Raise `DamageError` unless `gallery.json` has values of the right types that fit each other."""
    if not isinstance(note, dict):
        raise DamageError(f"{LEGACY} holds no table")
    whole = [("width", note["width"]), *(("numbers", number) for number in note["numbers"])]
    for key, value in whole:
        if type(value) is not int or not 0 <= value < 2**63:
            raise DamageError(f"{key} holds {value!r}, not a whole number from 0")
    if any(later <= earlier for earlier, later in pairwise(note["numbers"])):
        raise DamageError("numbers do not ascend, so one may occur twice")
    if len(note["entries"]) != len(note["numbers"]):
        raise DamageError(f"{len(note['entries'])} images, but {len(note['numbers'])} numbers")
    if not isinstance(note["made_by"], dict):
        raise DamageError("made_by is not a table")
    if "place" in note and not (
        isinstance(note["place"], str)
        and isinstance(note["folders"], dict)
        and all(isinstance(top, str) for tops in note["folders"].values() for top in tops)
    ):
        raise DamageError("place or folders are no paths")
    for entry in note["entries"]:
        path, modality, stamp = entry["path"], entry["modality"], entry["stamp"]
        if not (isinstance(path, str) and path and isinstance(stamp, str)):
            raise DamageError(f"an image has the path {path!r} and the stamp {stamp!r}")
        if type(modality) is not int or modality not in (0, 1):
            raise DamageError(f"'{path}' has modality {modality!r}; it is 0 or 1")
    if len({entry["path"] for entry in note["entries"]}) < len(note["entries"]):
        raise DamageError("an image is listed twice")
