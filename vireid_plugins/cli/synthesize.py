"""Write a synthetic stand-in for a data set: vireid synthesize SYSUMM01 --root datasets --test 48."""

import argparse
from dataclasses import fields
from pathlib import Path

from vireid_plugins.cli._common import path, positive, say
from vireid_plugins.data.synthetic.sizes import SIZES


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the verb."""
    layouts = parser.add_subparsers(dest="dataset", required=True, metavar="|".join(SIZES), help="layout")
    for name, size in SIZES.items():
        layout = layouts.add_parser(name, description=size.__doc__)
        layout.add_argument("--root", type=path, default=Path("datasets"), help="data root for the new data set")
        for field in fields(size):
            layout.add_argument(f"--{field.name}", type=positive, default=field.default, help="(default %(default)s)")
        layout.add_argument("--seed", type=int, default=0, help="random seed (default %(default)s)")
        if name != "Market1501":  # it has only one modality
            layout.add_argument("--contact-sheet", type=path, help="also write a picture of some identities")


def main(args: argparse.Namespace) -> None:
    """Write the data set."""
    from vireid_plugins.data import datasets
    from vireid_plugins.data.synthetic import LAYOUTS
    from vireid_plugins.visualize import contact_sheet
    from vireid_plugins.visualize._mpl import require_format, save

    if sheet := getattr(args, "contact_sheet", None):
        require_format("--contact-sheet", sheet, vector=False)
    chosen = LAYOUTS[args.dataset]
    folder = args.root / chosen.folder
    size = chosen.size(**{field.name: getattr(args, field.name) for field in fields(chosen.size)})
    chosen.write(folder, size, args.seed)
    if sheet:
        save(contact_sheet(getattr(datasets, args.dataset)(root=str(folder))), sheet)
    say(f"wrote {folder}; to use it: export FASTREID_DATASETS={args.root}")
