"""A progress bar."""

import sys

from fastreid.engine.train_loop import HookBase
from tqdm import tqdm


class ProgressBar(HookBase):
    """A bar with the time left, on a terminal; elsewhere fast-reid's log lines say the same."""

    def before_train(self) -> None:
        """Show the bar at the first iteration of this run."""
        trainer = self.trainer
        self.bar = tqdm(
            total=trainer.max_iter,
            initial=trainer.start_iter,
            unit="step",
            dynamic_ncols=True,
            disable=not sys.stderr.isatty(),
        )

    def after_step(self) -> None:
        """Advance by one."""
        self.bar.update()

    def after_train(self) -> None:
        """Leave the finished bar on the screen."""
        self.bar.close()
