"""Train, resume or score a method: vireid train --config-file SYSU/wrim.yml [KEY value ...]."""

import argparse
import os
import sys

from vireid_plugins.cli._common import add_overrides, path_text


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of fast-reid's `default_argument_parser`, whose import would load torch."""
    parser.add_argument(
        "--config-file", type=path_text, default="", metavar="FILE", help="configuration file, or SYSU/wrim.yml"
    )
    parser.add_argument("--resume", action="store_true", help="continue from the output folder's last checkpoint")
    parser.add_argument("--eval-only", action="store_true", help="only score MODEL.WEIGHTS or the last checkpoint")
    add_processes(parser)
    add_overrides(parser)


def add_processes(parser: argparse.ArgumentParser) -> None:
    """Add the arguments that say how many processes a run has."""
    parser.add_argument("--num-gpus", type=int, default=1, help="processes on this machine (default %(default)s)")
    parser.add_argument("--num-machines", type=int, default=1, help="number of machines (default %(default)s)")
    parser.add_argument("--machine-rank", type=int, default=0, help="rank of this machine (default %(default)s)")
    # One port per user, as in fast-reid: a leftover process shows up as a port in use.
    port = 2**15 + 2**14 + hash(os.getuid() if sys.platform != "win32" else 1) % 2**14
    parser.add_argument(
        "--dist-url", default=f"tcp://127.0.0.1:{port}", help="address of machine 0 (default %(default)s)"
    )


def main(args: argparse.Namespace) -> None:
    """Train, or only score."""
    from vireid_plugins import engine
    from vireid_plugins.errors import ConfigError

    if not args.config_file:
        raise ConfigError("--config-file: name a configuration, such as SYSU/wrim.yml")
    run = engine.Run.from_arguments(args)
    engine.launch(engine.main, run, run.load())
