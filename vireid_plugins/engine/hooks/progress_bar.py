"""A progress bar for training."""

import sys
from typing import Any

from fastreid.engine.train_loop import HookBase
from tqdm import tqdm


class ProgressBar(HookBase):
    """Shows progress and the time left on a terminal; elsewhere fast-reid's log lines report them."""

    bar: Any = None

    def before_train(self) -> None:
        """Open the bar at the run's current iteration."""
        trainer = self.trainer
        self.bar = tqdm(
            total=trainer.max_iter,
            initial=trainer.start_iter,
            unit="step",
            dynamic_ncols=True,
            disable=not sys.stderr.isatty(),
        )

    def after_step(self) -> None:
        """Advance the bar by one step."""
        self.bar.update()

    def after_train(self) -> None:
        """Leave the finished bar on the screen."""
        if self.bar is not None:
            self.bar.close()
