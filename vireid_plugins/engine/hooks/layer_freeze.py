"""Freezing of layers."""

import logging
import re
from collections.abc import Sequence

from fastreid.config import CfgNode
from fastreid.engine.train_loop import HookBase
from torch import nn

from vireid_plugins.errors import ConfigError

logger = logging.getLogger("fastreid." + __name__)


def layer_freeze(cfg: CfgNode, model: nn.Module) -> "LayerFreeze | None":
    """Return the hook that a configuration asks for, if it does.

    Raises:
        ConfigError: see `LayerFreeze`.
    """
    wanted = cfg.MODEL.FREEZE_LAYERS and cfg.SOLVER.FREEZE_ITERS > 0
    return LayerFreeze(model, cfg.MODEL.FREEZE_LAYERS, cfg.SOLVER.FREEZE_ITERS) if wanted else None


class LayerFreeze(HookBase):
    """Freezes layers during the first iterations: parameters and running statistics are not updated.

    fast-reid's hook restarts its count on every resume. It switches only top-level batch norms to evaluation mode, and
    the first evaluation switches them back.

    Args:
        model: the model, or a wrapper that contains it as `module`.
        layers: regular expressions that match the beginning of a parameter's or module's name
            (`MODEL.FREEZE_LAYERS`).
        iters: number of iterations from the start of the run (`SOLVER.FREEZE_ITERS`).

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
        """Register a hook that drops the frozen parameters' gradients before each optimizer step."""
        self.handle = self.trainer.optimizer.register_step_pre_hook(lambda *_: self.drop_gradients())

    def before_step(self) -> None:
        """Put the layers in evaluation mode while they are frozen, and in training mode once they are not."""
        frozen = self.trainer.iter < self.iters
        if frozen or self.frozen:
            for module in self.modules:
                module.training = not frozen
        if frozen != self.frozen:
            logger.info("%d parameters are %s", len(self.parameters), "frozen" if frozen else "no longer frozen")
        self.frozen = frozen

    def drop_gradients(self) -> None:
        """Set the gradients of frozen parameters to None."""
        if self.frozen:
            for parameter in self.parameters:
                parameter.grad = None

    def after_train(self) -> None:
        """Remove the hook from the optimizer."""
        self.handle.remove()
