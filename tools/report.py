"""Writes one self-contained HTML page of an experiment: report.py --config-file FILE --output REPORT.html."""

import argparse
from pathlib import Path

from _run import positive, run


def main() -> None:
    """Parse, score and write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--config-file", required=True, help="the configuration the model was trained with")
    parser.add_argument("--output", type=Path, required=True, help="the .html to write")
    parser.add_argument("--beside", help="configuration of a baseline whose distances are drawn beside the model's")
    parser.add_argument("--queries", type=positive, default=60, help="rank lists (default %(default)s)")
    parser.add_argument("opts", nargs=argparse.REMAINDER, help="overrides, KEY value ...")
    args = parser.parse_args()
    from vireid_plugins.config import load_config
    from vireid_plugins.visualize.report import build_report, write_report

    cfg = load_config(args.config_file, args.opts)
    beside = None
    if args.beside:
        beside = (Path(args.beside).stem, load_config(args.beside))
    write_report(build_report(cfg, beside, args.queries), args.output)
    print(f"wrote {args.output} ({args.output.stat().st_size / 2**20:.1f} MiB); open it in a browser")


if __name__ == "__main__":
    run(main)
