"""Write a self-contained HTML report of an experiment: vireid report RUN."""

import argparse

from vireid_plugins.cli._common import (
    BASELINE,
    add_trained,
    baseline_config,
    output_of,
    path,
    path_text,
    positive,
    say,
    trained_config,
)

PAGE = "report.html"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the verb."""
    add_trained(parser)
    parser.add_argument("--output", type=path, help=f"the .html file to write (default: {PAGE} in the run's folder)")
    parser.add_argument("--beside", type=path_text, help=f"{BASELINE} whose distances are drawn next to the model's")
    parser.add_argument("--queries", type=positive, default=60, help="number of rank lists (default %(default)s)")


def main(args: argparse.Namespace) -> None:
    """Score the model, draw the figures and write the page."""
    from vireid_plugins.engine.runs import run_title
    from vireid_plugins.errors import ConfigError
    from vireid_plugins.visualize.report import build_report, write_report

    if args.output and args.output.suffix.lower() not in (".html", ".htm"):
        raise ConfigError(f"--output: '{args.output}' must end in .html")
    cfg = trained_config(args)
    beside = None
    if args.beside:
        baseline = baseline_config(args.beside)
        beside = (run_title(baseline), baseline)
    output = output_of(args, cfg, PAGE)
    write_report(build_report(cfg, beside, args.queries), output)
    say(f"wrote {output} ({output.stat().st_size / 2**20:.1f} MiB); open it in a browser")
