"""Shared code of the synthetic-tree writers: images drawn in parallel, lists and the manifest."""

import os
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from tqdm import tqdm

from vireid_plugins.data.batch import INFRARED
from vireid_plugins.data.datasets.base import MODALITIES, tally
from vireid_plugins.data.synthetic.camera import Camera, draw_camera, photograph
from vireid_plugins.data.synthetic.person import draw_person
from vireid_plugins.errors import DataError
from vireid_plugins.io.files import naming, write_bytes, write_folder, write_json
from vireid_plugins.io.json_file import read_json
from vireid_plugins.processes import in_processes

MANIFEST = "synthetic.json"


class Shot(NamedTuple):
    """One image to be written.

    Attributes:
        path: relative to the data set's folder.
        camera: number of the camera in the layout.
        modality: 0 visible, 1 infrared.
        lens: unique number of the camera in the tree.
        number: index among the identity's images from this lens.
    """

    path: str
    camera: int
    modality: int
    lens: int
    number: int


def write_tree(
    folder: Path,
    layout: str,
    size: Any,
    seed: int,
    people: int,
    plan: Callable[[int, np.random.Generator], list[Shot]],
    finish: Callable[[Path, dict[int, list[Shot]]], dict[str, Iterable[int]]],
    workers: int | None = None,
) -> None:
    """Write images, the lists of the layout and a manifest; when all is there, it replaces an existing synthetic tree.

    The same size and seed give the same files for any number of workers.

    Args:
        folder: the data set's folder.
        layout: name of the layout.
        size: a dataclass with `height` and `width` in pixels; recorded in the manifest.
        seed: random seed.
        people: number of people, who are numbered from 1.
        plan: returns the images to write of an identity; called in worker processes.
        finish: writes the lists into a folder, given the images of every identity, and returns the identities of each
            list.
        workers: processes; the number of processors by default.

    Raises:
        DataError: the folder contains something other than a synthetic tree.
        ConfigError: a file cannot be written; what was there before is unchanged.
    """
    if folder.is_dir() and any(folder.iterdir()) and not (folder / MANIFEST).is_file():
        raise DataError(f"'{folder}' is not empty and not a synthetic tree; choose another --root")
    shots: dict[int, list[Shot]] = {}
    with write_folder(folder) as fresh:
        jobs = [(fresh, plan, identity, seed, (size.height, size.width)) for identity in range(1, people + 1)]
        written = in_processes(_write_person, jobs, workers or os.cpu_count() or 1, chunk=32)
        for identity, person in enumerate(tqdm(written, total=people, unit="id", disable=None), start=1):
            shots[identity] = person
        rows = [
            (name, MODALITIES[shot.modality], identity, shot.camera)
            for name, identities in finish(fresh, shots).items()
            for identity in identities
            for shot in shots[identity]
        ]
        manifest = {
            "complete": True,
            "layout": layout,
            "seed": seed,
            "size": asdict(size),
            "images": sum(map(len, shots.values())),
            "census": tally(rows),
        }
        write_json(fresh / MANIFEST, manifest)


def read_manifest(folder: Path) -> dict[str, Any] | None:
    """Return the manifest of a synthetic tree, or None if the folder has none.

    Raises:
        DataError: the manifest is invalid or the tree incomplete.
    """
    file = folder / MANIFEST
    if not file.is_file():
        return None
    try:
        manifest: dict[str, Any] = read_json(file)
        complete = manifest["complete"] and "census" in manifest
    except (OSError, ValueError, KeyError, TypeError):
        raise DataError(f"'{file}' is not a manifest of this version; regenerate the tree") from None
    if not complete:
        raise DataError(f"'{file}': the tree is incomplete; regenerate it with `vireid synthesize`")
    return manifest


def write_ids(file: Path, identities: Iterable[int]) -> None:
    """Write one line of comma-separated identities."""
    write_bytes(file, ",".join(map(str, sorted(identities))).encode())


def write_labelled_paths(file: Path, groups: Sequence[list[str]]) -> None:
    """Write lines `<path> <label>`, where the label is the index of the group."""
    lines = [f"{path} {label}\n" for label, paths in enumerate(groups) for path in paths]
    write_bytes(file, "".join(lines).encode())


@cache
def _camera(seed: int, lens: int, infrared: bool, size: tuple[int, int]) -> Camera:
    return draw_camera(np.random.default_rng([seed, 1, lens]), infrared, size)


def _write_person(
    job: tuple[Path, Callable[[int, np.random.Generator], list[Shot]], int, int, tuple[int, int]],
) -> list[Shot]:
    folder, plan, identity, seed, size = job
    rng = np.random.default_rng([seed, 2, identity])
    person = draw_person(rng)
    shots = plan(identity, rng)
    for shot in shots:
        file = folder / shot.path
        light = np.random.default_rng([seed, 3, identity, shot.lens, shot.number])
        image = photograph(_camera(seed, shot.lens, shot.modality == INFRARED, size), person, light, size)
        # Lossless formats ignore the quality.
        with naming(file):
            file.parent.mkdir(parents=True, exist_ok=True)
            image.save(file, quality=int(light.integers(75, 95)))
    return shots
