"""Hooks that a method defines, such as EMA teachers, memories or pseudo labels."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from fastreid.config import CfgNode
from fastreid.engine.train_loop import HookBase
from torch import Tensor, nn

from vireid_plugins.errors import ConfigError, DataError

PLAIN = (bool, int, float, complex, str, bytes)


def method_hooks(model: nn.Module, cfg: CfgNode) -> list[HookBase]:
    """Return the hooks from a meta-architecture's `hooks(cfg)`; fast-reid's own define none.

    Args:
        model: the meta-architecture, without a wrapper for several processes.
        cfg: the configuration.

    Raises:
        ConfigError: it returns something else than hooks.
    """
    build = getattr(model, "hooks", None)
    hooks = [] if build is None else build(cfg)
    if not isinstance(hooks, list | tuple) or not all(isinstance(hook, HookBase) for hook in hooks):
        raise ConfigError(f"{type(model).__name__}.hooks: must return a list of fast-reid hooks, got {hooks!r}")
    return list(hooks)


class HookStates:
    """Saves hooks with `state_dict` and `load_state_dict` under their `name`, by default the class name.

    With several processes, the states of the main one are saved, and all processes load them.

    Args:
        hooks: hooks of a method.

    Raises:
        ConfigError: two hooks have the same name, or one has a state that it does not load.
    """

    def __init__(self, hooks: Sequence[HookBase]) -> None:
        self.hooks: dict[str, Any] = {}
        for hook in (hook for hook in hooks if hasattr(hook, "state_dict")):
            name = getattr(hook, "name", type(hook).__name__)
            if name in self.hooks:
                raise ConfigError(
                    f"MODEL.META_ARCHITECTURE: two of its hooks are called '{name}'; give one a different `name`"
                )
            if not hasattr(hook, "load_state_dict"):
                raise ConfigError(f"hook '{name}': has a state_dict and no load_state_dict; define both or none")
            self.hooks[name] = hook

    def state_dict(self) -> dict[str, Any]:
        """Return the state of each hook by name.

        Raises:
            ConfigError: a state has more than tensors, numpy arrays and plain values, which could not be loaded.
        """
        states = {name: hook.state_dict() for name, hook in self.hooks.items()}
        for name, state in states.items():
            for value in _not_plain(state):
                raise ConfigError(
                    f"hook '{name}': its state_dict has a {type(value).__name__}; checkpoints take tensors, numpy "
                    "arrays and plain values"
                )
        return states

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


def _not_plain(value: Any) -> Iterator[Any]:
    """Yield what a checkpoint could not load again."""
    if isinstance(value, Mapping):
        for pair in value.items():
            yield from _not_plain(pair)
    elif type(value) in (list, tuple, set):
        for one in value:
            yield from _not_plain(one)
    elif not (value is None or isinstance(value, Tensor | np.ndarray | np.generic) or type(value) in PLAIN):
        yield value
