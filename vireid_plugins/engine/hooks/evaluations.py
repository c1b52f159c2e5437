"""Evaluations during a training, which cost nothing but themselves if they fail."""

from collections.abc import Callable
from typing import Any

import torch
from fastreid.engine.train_loop import HookBase
from fastreid.utils import comm

from vireid_plugins.engine.hooks.random_state import unchanged
from vireid_plugins.evaluation.scores import scalars_of


class Evaluations(HookBase):
    """Scores the model every `period` epochs and after the last one, in place of fast-reid's `EvalHook`.

    The run is saved before each evaluation, so whatever ends one costs no training: a resumed run repeats only the
    evaluation.

    Args:
        period: epochs between two evaluations (`TEST.EVAL_PERIOD`); 0: only after the last epoch.
        evaluate: scores the model; returns a nested dict of numbers, empty on processes other than the main one.
        save: called by all processes before each evaluation.
    """

    trainer: Any

    def __init__(self, period: int, evaluate: Callable[[], Any], save: Callable[[], None]) -> None:
        self.period, self.evaluate, self.save = period, evaluate, save

    def after_epoch(self) -> None:
        """Save the run and score the model, if that is due."""
        number = self.trainer.epoch + 1
        periodic = self.period > 0 and number % self.period == 0
        if not periodic and number < self.trainer.max_epoch:
            return
        # A run that is resumed has been saved already.
        if not self.trainer.unscored:
            self.save()
        if periodic:
            self._score()
        else:
            # A run that goes on to more epochs is the same as one that was not scored here.
            with unchanged():
                self._score()

    def _score(self) -> None:
        scores = self.evaluate()
        if scores:
            self.trainer.storage.put_scalars(**scalars_of(scores), smoothing_hint=False)
        if torch.cuda.is_available():
            torch.cuda.empty_cache()
        # The processes start the next epoch together.
        comm.synchronize()
