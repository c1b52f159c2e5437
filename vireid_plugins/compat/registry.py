"""Named replacements inside the unmodified fast-reid, that can be listed, chosen, logged and taken back."""

import inspect
import logging
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

from vireid_plugins.errors import ConfigError

logger = logging.getLogger("fastreid." + __name__)
ABSENT = object()


@dataclass(frozen=True)
class Replacement:
    """One name that gets another value.

    Args:
        owner: the module, class or mapping that holds the name.
        name: the attribute or key.
        value: what stands there while the patch is applied.
    """

    owner: Any
    name: str
    value: Any

    def swap(self) -> "Replacement":
        """Put the value in place and return the replacement that takes it back."""
        if isinstance(self.owner, dict):
            before = self.owner.get(self.name, ABSENT)
            if self.value is ABSENT:
                del self.owner[self.name]
            else:
                self.owner[self.name] = self.value
        else:
            # Statically, so that a classmethod stays one.
            before = inspect.getattr_static(self.owner, self.name)
            setattr(self.owner, self.name, self.value)
        return Replacement(self.owner, self.name, before)


@dataclass
class Patch:
    """A repair of one trouble.

    Args:
        name: what `patch(only=...)` takes.
        trouble: what happens without it.
        repair: what happens with it.
        where: the places in fast-reid's source.
        replacements: looks the names up; called when the patch is applied.
    """

    name: str
    trouble: str
    repair: str
    where: str
    replacements: Callable[[], list[Replacement]]
    _taken: list[Replacement] = field(default_factory=list)

    @property
    def applied(self) -> bool:
        """Whether it is in place."""
        return bool(self._taken)

    def apply(self) -> None:
        """Put it in place, once."""
        if not self.applied:
            self._taken = [replacement.swap() for replacement in self.replacements()]
            logger.info("fast-reid is patched: %s (%s)", self.name, self.repair)

    def revert(self) -> None:
        """Take it back, if it is in place."""
        if self.applied:
            for replacement in reversed(self._taken):
                replacement.swap()
            self._taken = []
            logger.info("fast-reid is as it was: %s", self.name)


PATCHES: dict[str, Patch] = {}


def register_patch(
    trouble: str, repair: str, *, where: str
) -> Callable[[Callable[[], list[Replacement]]], Callable[[], list[Replacement]]]:
    """Register the decorated function, under its name, as the replacements of a patch."""

    def register(function: Callable[[], list[Replacement]]) -> Callable[[], list[Replacement]]:
        PATCHES[function.__name__] = Patch(function.__name__, trouble, repair, where, function)
        return function

    return register


def patch(only: Iterable[str] | None = None) -> None:
    """Repair fast-reid for users of its own trainer, loaders and evaluator. Repeated calls change nothing.

    Call it before a trainer, a loader or a model is built.

    Args:
        only: names of `PATCHES`; all of them if left out.

    Raises:
        ConfigError: no patch has that name; the message lists them.
    """
    for chosen in _chosen(only):
        chosen.apply()


def unpatch(only: Iterable[str] | None = None) -> None:
    """Take patches back. What was built while they were in place stays as it is.

    Args:
        only: names of `PATCHES`; all of them if left out.

    Raises:
        ConfigError: no patch has that name; the message lists them.
    """
    for chosen in reversed(_chosen(only)):
        chosen.revert()


def _chosen(only: Iterable[str] | None) -> list[Patch]:
    names = list(PATCHES) if only is None else [only] if isinstance(only, str) else list(only)
    for name in names:
        if name not in PATCHES:
            raise ConfigError(f"compat.patch: '{name}' does not exist; there are {', '.join(PATCHES)}")
    return [PATCHES[name] for name in names]
