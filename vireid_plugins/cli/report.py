"""Write a self-contained HTML report of an experiment: vireid report --config-file FILE --output REPORT.html."""

import argparse
from pathlib import Path

from vireid_plugins.cli._common import add_overrides, add_trained_config, path, path_text, positive, say


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the verb."""
    add_trained_config(parser)
    parser.add_argument("--output", type=path, required=True, help="the .html file to write")
    parser.add_argument(
        "--beside", type=path_text, help="configuration of a baseline whose distances are drawn next to the model's"
    )
    parser.add_argument("--queries", type=positive, default=60, help="number of rank lists (default %(default)s)")
    add_overrides(parser)


def main(args: argparse.Namespace) -> None:
    """Score the model, draw the figures and write the page."""
    from vireid_plugins.config import load_config
    from vireid_plugins.visualize.report import build_report, write_report

    cfg = load_config(args.config_file, args.opts)
    beside = None
    if args.beside:
        beside = (Path(args.beside).stem, load_config(args.beside))
    write_report(build_report(cfg, beside, args.queries), args.output)
    say(f"wrote {args.output} ({args.output.stat().st_size / 2**20:.1f} MiB); open it in a browser")
