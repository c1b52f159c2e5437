"""Starts the processes of a run."""

from collections.abc import Callable
from typing import Any

import torch

from vireid_plugins.errors import ConfigError


def launch(main: Callable[[Any], Any], args: Any) -> Any:
    """Call `main(args)` in this process.

    Raises:
        ConfigError: more than one process is asked for, which this version does not start.
    """
    if args.num_gpus > 1 or args.num_machines > 1:
        present = torch.cuda.device_count()
        raise ConfigError(
            f"--num-gpus {args.num_gpus} --num-machines {args.num_machines}: several devices are not supported "
            f"yet; run with --num-gpus 1 (CUDA devices here: {present})"
        )
    return main(args)
