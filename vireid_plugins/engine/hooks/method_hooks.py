"""Hooks that a method defines, such as EMA teachers, memories or pseudo labels."""

from collections.abc import Sequence
from typing import Any

from fastreid.config import CfgNode
from fastreid.engine.train_loop import HookBase
from torch import nn

from vireid_plugins.errors import ConfigError, DataError


def method_hooks(model: nn.Module, cfg: CfgNode) -> list[HookBase]:
    """Return the hooks from a meta-architecture's `hooks(cfg)`; fast-reid's own define none.

    Args:
        model: the meta-architecture, without a wrapper for several processes.
        cfg: the configuration.
    """
    build = getattr(model, "hooks", None)
    return [] if build is None else list(build(cfg))


class HookStates:
    """Saves hooks with `state_dict` and `load_state_dict` under their `name`, by default the class name.

    With several processes, the states of the main one are saved, and all processes load them.

    Args:
        hooks: hooks of a method.

    Raises:
        ConfigError: two hooks have the same name.
    """

    def __init__(self, hooks: Sequence[HookBase]) -> None:
        self.hooks: dict[str, Any] = {}
        for hook in (hook for hook in hooks if hasattr(hook, "state_dict")):
            name = getattr(hook, "name", type(hook).__name__)
            if name in self.hooks:
                raise ConfigError(
                    f"MODEL.META_ARCHITECTURE: two of its hooks are called '{name}'; give one a different `name`"
                )
            self.hooks[name] = hook

    def state_dict(self) -> dict[str, Any]:
        """Return the state of each hook by name; states must consist of tensors and plain values."""
        return {name: hook.state_dict() for name, hook in self.hooks.items()}

    def load_state_dict(self, states: dict[str, Any]) -> None:
        """Restore the state of each hook.

        Raises:
            DataError: the hooks are not those of the checkpoint.
        """
        if set(states) != set(self.hooks):
            saved, expected = (", ".join(sorted(names)) or "none" for names in (states, self.hooks))
            raise DataError(f"it contains the states of the hooks {saved}, but the method has {expected}")
        for name, hook in self.hooks.items():
            hook.load_state_dict(states[name])
