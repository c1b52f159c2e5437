"""The hooks that a method brings: EMA teachers, memories, pseudo labels."""

from collections.abc import Sequence
from typing import Any

from fastreid.config import CfgNode
from fastreid.engine.train_loop import HookBase
from torch import nn

from vireid_plugins.errors import ConfigError, DataError


def method_hooks(model: nn.Module, cfg: CfgNode) -> list[HookBase]:
    """Return what a meta-architecture's `hooks(cfg)` gives; fast-reid's own have none.

    Args:
        model: the meta-architecture, without a wrapper for several processes.
        cfg: the configuration.
    """
    build = getattr(model, "hooks", None)
    return [] if build is None else list(build(cfg))


class HookStates:
    """Saves the hooks that have `state_dict` and `load_state_dict`, each under its `name`, by default its class's.

    With several processes the states are those of the main one, and all take them.

    Args:
        hooks: of a method.

    Raises:
        ConfigError: two have one name.
    """

    def __init__(self, hooks: Sequence[HookBase]) -> None:
        self.hooks: dict[str, Any] = {}
        for hook in (one for one in hooks if hasattr(one, "state_dict")):
            name = getattr(hook, "name", type(hook).__name__)
            if name in self.hooks:
                raise ConfigError(
                    f"MODEL.META_ARCHITECTURE: two of its hooks are called '{name}'; give one another `name`"
                )
            self.hooks[name] = hook

    def state_dict(self) -> dict[str, Any]:
        """Return the state of each hook by its name: tensors and plain values, as in all of a checkpoint."""
        return {name: hook.state_dict() for name, hook in self.hooks.items()}

    def load_state_dict(self, states: dict[str, Any]) -> None:
        """Give each hook its state.

        Raises:
            DataError: the hooks are not those of the checkpoint.
        """
        if set(states) != set(self.hooks):
            saved, wanted = (", ".join(sorted(names)) or "none" for names in (states, self.hooks))
            raise DataError(f"it has the states of the hooks {saved}, and the method now has {wanted}")
        for name, hook in self.hooks.items():
            hook.load_state_dict(states[name])
