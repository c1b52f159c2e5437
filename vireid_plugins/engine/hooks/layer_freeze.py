"""A hook that freezes layers."""

import logging
import re
from collections.abc import Sequence

from fastreid.engine.train_loop import HookBase
from torch import nn

from vireid_plugins.errors import ConfigError

logger = logging.getLogger("fastreid." + __name__)


class LayerFreeze(HookBase):
    """Keeps some layers as they are during the first iterations: no gradients, batch statistics not updated.

    fast-reid counts in its optimiser, anew after every resume, and puts only the top level's batch norms in evaluation
    mode, until the first evaluation puts them back.

    Args:
        model: the model, or a wrapper that holds it as `module`.
        layers: regular expressions, matched from the beginning of a parameter's or module's name
            (`MODEL.FREEZE_LAYERS`).
        iters: how many iterations of the run (`SOLVER.FREEZE_ITERS`).

    Raises:
        ConfigError: an expression matches no parameter.
    """

    def __init__(self, model: nn.Module, layers: Sequence[str], iters: int) -> None:
        model = getattr(model, "module", model)
        patterns = [re.compile(layer) for layer in layers]
        names = [name for name, _ in model.named_parameters()]
        for pattern in patterns:
            if not any(pattern.match(name) for name in names):
                tops = sorted({name.split(".")[0] for name in names})
                raise ConfigError(
                    f"MODEL.FREEZE_LAYERS: '{pattern.pattern}' matches no parameter; names begin with {', '.join(tops)}"
                )
        self.parameters = [p for name, p in model.named_parameters() if any(x.match(name) for x in patterns)]
        self.modules = [m for name, m in model.named_modules() if name and any(x.match(name) for x in patterns)]
        self.iters, self.frozen = iters, False

    def before_train(self) -> None:
        """Ask the optimiser to forget the frozen parameters' gradients before each step."""
        self.handle = self.trainer.optimizer.register_step_pre_hook(lambda *_: self.drop_gradients())

    def before_step(self) -> None:
        """Keep the layers in evaluation mode, or let them go."""
        frozen = self.trainer.iter < self.iters
        if frozen or self.frozen:
            for module in self.modules:
                module.training = not frozen
        if frozen != self.frozen:
            logger.info("%d parameters are %s", len(self.parameters), "frozen" if frozen else "trained from now on")
        self.frozen = frozen

    def drop_gradients(self) -> None:
        """Forget what backward computed for the frozen parameters."""
        if self.frozen:
            for parameter in self.parameters:
                parameter.grad = None

    def after_train(self) -> None:
        """Leave the optimiser alone."""
        self.handle.remove()
