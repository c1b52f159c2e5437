"""Writes a synthetic stand-in for a data set: python tools/make_synthetic.py SYSUMM01 --root datasets --test 48."""

import argparse
from dataclasses import fields

from _run import positive, run


def main() -> None:
    """Parse and write."""
    from pathlib import Path

    from vireid_plugins.analysis import contact_sheet
    from vireid_plugins.data import datasets
    from vireid_plugins.data.synthetic import LAYOUTS

    parser = argparse.ArgumentParser(description=__doc__)
    layouts = parser.add_subparsers(dest="dataset", required=True, metavar="|".join(LAYOUTS), help="layout")
    for name, known in LAYOUTS.items():
        layout = layouts.add_parser(name, description=f"{known.size.__doc__}")
        layout.add_argument("--root", type=Path, default=Path("datasets"), help="data root; the set is made below it")
        for field in fields(known.size):
            layout.add_argument(f"--{field.name}", type=positive, default=field.default, help="(default %(default)s)")
        layout.add_argument("--seed", type=int, default=0, help="of everything drawn (default %(default)s)")
        if hasattr(datasets, name):
            layout.add_argument("--contact-sheet", type=Path, help="also write a picture of some identities")
    args = parser.parse_args()
    chosen = LAYOUTS[args.dataset]
    folder = args.root / chosen.folder
    size = chosen.size(**{field.name: getattr(args, field.name) for field in fields(chosen.size)})
    chosen.write(folder, size, args.seed)
    if getattr(args, "contact_sheet", None):
        contact_sheet(getattr(datasets, args.dataset)(root=str(folder))).save(args.contact_sheet)
    print(f"wrote {folder}; to use it: export FASTREID_DATASETS={args.root}")


if __name__ == "__main__":
    run(main)
