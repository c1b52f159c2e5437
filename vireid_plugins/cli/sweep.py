"""Train a grid of settings, seeds and splits: vireid sweep FILE.yml [KEY value ...].

The same command continues an interrupted sweep; finished runs are skipped.
"""

import argparse

from vireid_plugins.cli._common import add_overrides, path, say


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the verb."""
    parser.add_argument("file", type=path, metavar="FILE", help="the YAML of the sweep, see docs/experiments.md")
    parser.add_argument("--dry-run", action="store_true", help="check every run and list them, but train nothing")
    add_overrides(parser)


def main(args: argparse.Namespace) -> None:
    """List or run the sweep."""
    from vireid_plugins.experiments.plan import plan_runs
    from vireid_plugins.experiments.search import check_search
    from vireid_plugins.experiments.sweep import run_sweep
    from vireid_plugins.experiments.sweep_file import read_sweep

    sweep = read_sweep(args.file)
    if not args.dry_run:
        run_sweep(sweep, args.opts, lambda line: say(line, flush=True))
        return
    if sweep.search is not None:
        check_search(sweep, args.opts)
        say(f"a search of {sweep.search.trials} trials; their values are drawn when they start")
        return
    runs = plan_runs(sweep, sweep.settings, args.opts)
    say(*(f"{run.folder}  {' '.join(f'{key}={value}' for key, value in run.values.items())}" for run in runs))
    say(f"{len(runs)} runs")
