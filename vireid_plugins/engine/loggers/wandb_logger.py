"""Weights & Biases, online or offline as `WANDB_MODE` says."""

import logging
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

import yaml

from vireid_plugins.engine.loggers.base import LOGGER_REGISTRY, Logger, RunOfLogger
from vireid_plugins.errors import ConfigError, first_line

logger = logging.getLogger("fastreid." + __name__)
PROJECT = "vireid"
# W&B drops values of a step below its last one, which a resumed run logs; so its own steps are not used.
STEP = "iteration"


@LOGGER_REGISTRY.register()
class Wandb(Logger):
    """Logs to Weights & Biases; `WANDB_PROJECT`, `WANDB_MODE` and its other variables apply.

    A resumed run has the id of the first one. Offline, each part of it is a folder of its own, and `wandb sync` of all
    of them makes one run.
    """

    package: ClassVar[str] = "wandb"

    def start(self, run: RunOfLogger) -> dict[str, Any]:
        """Begin or continue a run of W&B, with the whole configuration."""
        wandb = self.module()
        former = run.former.get("id")
        options = {"id": former, "resume": "allow"} if former else {}
        try:
            self.run = wandb.init(
                project=os.environ.get("WANDB_PROJECT") or PROJECT,
                name=os.environ.get("WANDB_NAME") or run.title,
                dir=str(run.folder),
                config=yaml.safe_load(run.cfg.dump()),
                # The run has a log of its own, and a screen.
                settings=wandb.Settings(console="off", silent=True),
                **options,
            )
        except wandb.errors.UsageError as error:
            raise ConfigError(
                f"LOGGERS: wandb: {first_line(error).rstrip('.')}. Run `wandb login`, or set WANDB_MODE=offline"
            ) from None
        self.run.define_metric("*", step_metric=STEP)
        # The last value of all others.
        self.run.define_metric("metric", step_metric=STEP, summary="max,last")
        logger.info("wandb: run %s, %s", self.run.id, _where(self.run))
        return {"id": self.run.id}

    def log(self, values: Mapping[str, float], iteration: int) -> None:
        """Log scalars of an iteration."""
        self.run.log({**values, STEP: iteration})

    def finish(self, completed: bool) -> None:
        """End the run, as failed unless it is completed."""
        self.run.finish(exit_code=0 if completed else 1)


def _where(run: Any) -> str:
    """Return the address of a run, or how to upload it. Asking for the address of one that is offline is a warning."""
    return f"offline; to upload it: wandb sync {Path(run.dir).parent}" if run.offline else str(run.url)
