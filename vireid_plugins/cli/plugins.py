"""List every name that a configuration can use, or measure a model: vireid plugins [--config-file FILE]."""

import argparse

from vireid_plugins.cli._common import add_overrides, path_text, say, say_table


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the verb."""
    parser.add_argument(
        "--config-file", type=path_text, help="print this model's parameters, multiply-adds and throughput instead"
    )
    add_overrides(parser)


def main(args: argparse.Namespace) -> None:
    """Print the names, or the size and speed of a model."""
    from tabulate import tabulate

    from vireid_plugins.config import load_config
    from vireid_plugins.visualize.plugins import network_size, plugins

    if args.config_file:
        cfg = load_config(args.config_file, args.opts)
        size = network_size(cfg)
        say(
            f"{cfg.MODEL.META_ARCHITECTURE} at {cfg.INPUT.SIZE_TEST} on {cfg.MODEL.DEVICE}: {size.millions:.2f} M "
            f"parameters with {cfg.MODEL.HEADS.NUM_CLASSES} identities, {size.gmac:.2f} billion multiply-adds per "
            f"image, {size.images_per_second:.1f} images per second"
        )
        return
    for kind, rows in plugins().items():
        say("", f"== {kind}")
        say_table(tabulate(rows, headers=["name", "package", "what it is"], tablefmt="plain"))
