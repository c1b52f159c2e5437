"""Writes a synthetic stand-in for a data set: python tools/make_synthetic.py SYSUMM01 --root datasets --test 48."""

import argparse

from _run import run


def main() -> None:
    """Parse and write."""
    from pathlib import Path

    from vireid_plugins.analysis import contact_sheet
    from vireid_plugins.data.synthetic import SysuSize, write_sysu

    default = SysuSize()
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("dataset", choices=["SYSUMM01"], help="layout")
    parser.add_argument("--root", type=Path, default=Path("datasets"), help="data root; SYSU-MM01 is made below it")
    parser.add_argument("--train", type=int, default=default.train, help="training identities (default %(default)s)")
    parser.add_argument("--val", type=int, default=default.val, help="validation identities (default %(default)s)")
    parser.add_argument("--test", type=int, default=default.test, help="test identities (default %(default)s)")
    parser.add_argument(
        "--images", type=int, default=default.images, help="images an identity and camera (%(default)s)"
    )
    parser.add_argument("--height", type=int, default=default.height, help="pixels (default %(default)s)")
    parser.add_argument("--width", type=int, default=default.width, help="pixels (default %(default)s)")
    parser.add_argument("--seed", type=int, default=0, help="of everything drawn (default %(default)s)")
    parser.add_argument("--contact-sheet", type=Path, help="also write a picture of some identities in every camera")
    args = parser.parse_args()
    size = SysuSize(args.train, args.val, args.test, args.images, args.height, args.width)
    folder = args.root / "SYSU-MM01"
    write_sysu(folder, size, args.seed)
    if args.contact_sheet:
        contact_sheet(folder).save(args.contact_sheet)
    print(f"wrote {folder}; to use it: export FASTREID_DATASETS={args.root}")


if __name__ == "__main__":
    run(main)
