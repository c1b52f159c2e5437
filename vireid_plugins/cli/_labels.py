"""Arguments and files of `vireid score` for features and distances whose labels are given."""

import argparse
from collections.abc import Mapping
from typing import Any

from vireid_plugins.cli._common import path_text
from vireid_plugins.evaluation.choices import CMCS, DROP_NAMES

# What takes a FILE or FILE:NAME, in the order of --help.
ARRAYS = {
    "ids": "identity of each row of --features",
    "modalities": "modality of each row: 0 visible, 1 infrared, or words",
    "cams": "camera of each row, if --drop reads it",
    "distance": "distances (queries, gallery) instead of features; smaller is nearer",
    "query-features": "features of the queries, instead of --features",
    "query-ids": "identity of each query",
    "query-cams": "camera of each query",
    "gallery-features": "features of the gallery",
    "gallery-ids": "identity of each gallery image",
    "gallery-cams": "camera of each gallery image",
}


def add_labels(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    group = parser.add_argument_group(
        "labels of your own, instead of a protocol",
        "Each is FILE, or FILE:NAME for an array of a .npz or .mat file. Arrays that the first file holds under a "
        "usual name need no argument.",
    )
    for name, about in ARRAYS.items():
        group.add_argument(f"--{name}", type=path_text, metavar="FILE", help=about)
    group.add_argument("--drop", choices=DROP_NAMES, help="gallery images that are excluded (default none)")
    group.add_argument("--cmc", choices=CMCS, help="what the CMC ranks: images or identities (default ordinary)")
    group.add_argument(
        "--open",
        action="store_const",
        const=True,
        help="an open set: half of the identities are unknown, drawn ten times; of a protocol, that is NAME/open",
    )


def given(args: argparse.Namespace) -> list[str]:
    """Return the flags of labels on the command line."""
    names = [*ARRAYS, "drop", "cmc", "open"]
    return [f"--{name}" for name in names if getattr(args, name.replace("-", "_")) is not None]


def read_labelled(args: argparse.Namespace) -> dict[str, Any]:
    """Return the arrays that the arguments name, and those that the first file holds under a usual name.

    Raises:
        FeatureError: a file cannot be read, or lacks the array that is asked for.
    """
    from vireid_plugins.errors import FeatureError
    from vireid_plugins.evaluation.labelled import NAMES
    from vireid_plugins.io.array_file import open_arrays, split_name

    specs: dict[str, str] = {} if args.features is None else {"features": str(args.features)}
    specs |= {name.replace("-", "_"): word for name in ARRAYS if (word := getattr(args, name.replace("-", "_")))}
    opened = {}
    for name, word in specs.items():
        file, inner = split_name(word)
        opened[name] = (open_arrays(file), inner)
    found: dict[str, Any] = {}
    for name, (arrays, inner) in opened.items():
        array = arrays.find([inner.lower()] if inner else NAMES[name])
        if array is None and (inner or name != "features"):
            flag, names = f"--{name.replace('_', '-')}", ", ".join(arrays.names) or "nothing"
            raise FeatureError(f"{flag}: '{arrays.file}' has no array {inner or name}; it has {names}")
        found |= {} if array is None else {name: array}
    first = next((opened[name][0] for name in ("features", "distance", "query_features") if name in opened), None)
    return _alike(_completed(found, first, NAMES))


def _alike(arrays: dict[str, Any]) -> dict[str, Any]:
    """Return the arrays with the identities of both sides as names, where a text file holds such for one side.

    A file of 0001 and 1234 is of names, and one of 1234 alone of numbers. Cameras in such a file are numbers.
    """
    sides = [arrays[name] for name in ("query_ids", "gallery_ids") if name in arrays]
    if sorted(side.dtype.kind for side in sides) == ["U", "i"]:
        arrays |= {name: arrays[name].astype(str) for name in ("query_ids", "gallery_ids")}
    for name in ("cams", "query_cams", "gallery_cams"):
        if name in arrays and arrays[name].dtype.kind == "U" and all(map(str.isdecimal, arrays[name].ravel().tolist())):
            arrays[name] = arrays[name].astype("int64")
    return arrays


def _completed(found: dict[str, Any], first: Any, names: Mapping[str, tuple[str, ...]]) -> dict[str, Any]:
    """Return the arrays with those that a file of several holds under a usual name."""
    if first is None or first.names == [""]:
        return found
    others = {name: first.find(usual) for name, usual in names.items() if name not in found}
    return {name: array for name, array in {**found, **others}.items() if array is not None}
