"""Train, resume or score a method: vireid train --config-file SYSU/wrim.yml [KEY value ...]."""

import argparse
import os
import sys
from typing import Any

from vireid_plugins.cli._common import add_overrides, path_text, say, say_table


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add those of fast-reid's `default_argument_parser`, whose import would load torch, and some of our own."""
    parser.add_argument(
        "--config-file", type=path_text, default="", metavar="FILE", help="configuration file, or SYSU/wrim.yml"
    )
    parser.add_argument("--resume", action="store_true", help="continue from the output folder's last checkpoint")
    parser.add_argument("--quiet", action="store_true", help="show only warnings and the final table")
    instead = parser.add_mutually_exclusive_group()
    instead.add_argument("--eval-only", action="store_true", help="only score MODEL.WEIGHTS or the last checkpoint")
    instead.add_argument(
        "--dry-run", action="store_true", help="take a few steps, say what the run would take, and leave nothing"
    )
    instead.add_argument("--print-config", action="store_true", help="only print the merged configuration as YAML")
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
    """Train, only score, or show what would be trained."""
    from pathlib import Path

    from vireid_plugins import engine
    from vireid_plugins.errors import ConfigError
    from vireid_plugins.io.files import require_writable

    if not args.config_file:
        raise ConfigError("--config-file: name a configuration, such as SYSU/wrim.yml")
    run = engine.Run.from_arguments(args)
    cfg = run.load()
    if args.print_config:
        say_table(cfg.dump().rstrip())
        return
    if args.dry_run:
        if args.num_gpus * args.num_machines > 1:
            raise ConfigError("--dry-run: measures one process; leave out --num-gpus and --num-machines")
        if args.resume:
            raise ConfigError("--dry-run: shows a run from its start; leave out --resume")
        require_writable(Path(cfg.OUTPUT_DIR), "OUTPUT_DIR")
        show_dry_run(cfg)
        return
    engine.launch(engine.main, run, cfg)


def show_dry_run(cfg: Any) -> None:
    """Print what a run would be, and draw its first batch."""
    import tempfile
    from pathlib import Path

    from vireid_plugins.config.stages import stages_of
    from vireid_plugins.engine.dry_run import dry_run
    from vireid_plugins.engine.screen import quiet_screen
    from vireid_plugins.visualize._mpl import save
    from vireid_plugins.visualize.contact_sheet import batch_sheets

    with quiet_screen():
        found = dry_run(cfg)
    stages, images = stages_of(cfg), cfg.SOLVER.IMS_PER_BATCH
    epochs, evaluations = sum(one.SOLVER.MAX_EPOCH for one in stages), len(stages) * found.evaluations
    steps, scoring = found.seconds * found.steps * epochs, found.evaluation * evaluations
    memory = "of the device" if cfg.MODEL.DEVICE.startswith("cuda") else "of the process"
    scored = f", {_hours(scoring)} to extract features for {_many(evaluations, 'evaluation')}" if evaluations else ""
    uncached = " (without DATALOADER.CACHE)" if cfg.DATALOADER.CACHE else ""
    say(
        f"training    {_counted(found.trained)}; {_many(epochs, 'epoch')} of {_many(found.steps, 'step')} of {images} "
        "images",
        *(f"test        {name}: {_counted(one)}" for name, one in found.tested.items()),
        f"first step  loss {found.loss:.4g}",
        f"a step      {found.seconds:.3f} s, {found.waited:.3f} s of it waiting for images; "
        f"{images / found.seconds:.0f} images per second{uncached}",
        f"memory      {found.peak / 2**30:.2f} GiB at most, {memory} ({cfg.MODEL.DEVICE})",
        f"the run     about {_hours(steps + scoring)}: {_hours(steps)} of steps{scored}",
    )
    folder = Path(tempfile.mkdtemp(prefix="vireid_batch_"))
    for name, sheet in batch_sheets(found.batch, cfg.DATALOADER.NUM_INSTANCE).items():
        save(sheet, folder / f"{name}.png")
        say(f"first batch {folder / f'{name}.png'}")


def _counted(images: Any) -> str:
    known = f" of {images.identities} identities" if images.identities else ", not labeled"
    return f"{images.visible} visible and {images.infrared} infrared images{known}"


def _many(count: int, thing: str) -> str:
    return f"{count} {thing}" if count == 1 else f"{count} {thing}s"


def _hours(seconds: float) -> str:
    return f"{seconds / 3600:.1f} h" if seconds >= 360 else f"{seconds / 60:.1f} min"
