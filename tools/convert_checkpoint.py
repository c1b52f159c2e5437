"""Converts a public checkpoint: python tools/convert_checkpoint.py agw sysu_agw.t agw.pth."""

import argparse
from pathlib import Path

from _run import plain, run


def main() -> None:
    """Parse, convert and report every key."""
    layouts = plain("vireid_plugins.checkpoints.layouts").LAYOUTS
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("layout", choices=list(layouts), help="whose code wrote it")
    parser.add_argument("source", type=Path, help="the checkpoint")
    parser.add_argument("target", type=Path, help="what is written; MODEL.WEIGHTS takes it")
    parser.add_argument("--quiet", action="store_true", help="only count the keys")
    args = parser.parse_args()

    from vireid_plugins.checkpoints import convert_file

    found = convert_file(args.layout, args.source, args.target)
    if not args.quiet:
        for key, name in found.used.items():
            print(f"used         {key} -> {name}")
        for key in found.unused:
            print(f"unused copy  {key}")
    print(f"{len(found.used)} keys used, {len(found.unused)} unused copies, {len(found.missing)} missing")
    print(
        f"wrote {args.target}; score it: python tools/train_net.py --eval-only --config-file "
        f"configs/{layouts[args.layout].config} MODEL.WEIGHTS {args.target}"
    )


if __name__ == "__main__":
    run(main)
