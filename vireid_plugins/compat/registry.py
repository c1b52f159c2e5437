"""Registry of run-time patches of fast-reid; each has a name and can be applied or undone on its own."""

import inspect
import logging
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

from vireid_plugins.errors import require_name
from vireid_plugins.escape import FILE_ONLY

logger = logging.getLogger("fastreid." + __name__)
ABSENT = object()


@dataclass(frozen=True)
class Replacement:
    """A new value for an attribute or key.

    Args:
        owner: the module, class or dict that holds it.
        name: the attribute or key.
        value: its value while the patch is applied.
    """

    owner: Any
    name: str
    value: Any

    def swap(self) -> "Replacement":
        """Set the value and return the replacement that undoes it."""
        if isinstance(self.owner, dict):
            before = self.owner.get(self.name, ABSENT)
            if self.value is ABSENT:
                del self.owner[self.name]
            else:
                self.owner[self.name] = self.value
        else:
            # Without binding, so that a classmethod is restored as one.
            before = inspect.getattr_static(self.owner, self.name)
            setattr(self.owner, self.name, self.value)
        return Replacement(self.owner, self.name, before)


@dataclass
class Patch:
    """A patch that fixes one problem.

    Args:
        name: its name in `patch(only=...)`.
        trouble: what happens without it.
        repair: what happens with it.
        where: the affected lines of fast-reid's source.
        replacements: returns the replacements; called when the patch is applied.
    """

    name: str
    trouble: str
    repair: str
    where: str
    replacements: Callable[[], list[Replacement]]
    _originals: list[Replacement] = field(default_factory=list)

    @property
    def applied(self) -> bool:
        """Whether the patch is applied."""
        return bool(self._originals)

    def apply(self) -> None:
        """Apply the patch unless it is already applied."""
        if not self.applied:
            self._originals = [replacement.swap() for replacement in self.replacements()]
            logger.info("applied fast-reid patch %s: %s", self.name, self.repair, extra=FILE_ONLY)

    def revert(self) -> None:
        """Undo the patch if it is applied."""
        if self.applied:
            for original in reversed(self._originals):
                original.swap()
            self._originals = []
            logger.info("undid fast-reid patch %s", self.name)


PATCHES: dict[str, Patch] = {}


def register_patch(
    trouble: str, repair: str, *, where: str
) -> Callable[[Callable[[], list[Replacement]]], Callable[[], list[Replacement]]]:
    """Register the decorated function, which returns the replacements, as a patch of the same name."""

    def register(function: Callable[[], list[Replacement]]) -> Callable[[], list[Replacement]]:
        PATCHES[function.__name__] = Patch(function.__name__, trouble, repair, where, function)
        return function

    return register


def patch(only: Iterable[str] | None = None) -> None:
    """Patch fast-reid for users of its own trainer, loaders and evaluator. Repeated calls have no effect.

    Call it before building a trainer, a loader or a model.

    Args:
        only: names from `PATCHES`; all of them by default.

    Raises:
        ConfigError: a name is unknown; the message lists those available.
    """
    for selected in _selected(only):
        selected.apply()


def unpatch(only: Iterable[str] | None = None) -> None:
    """Undo patches. Objects built while they were applied are not changed.

    Args:
        only: names from `PATCHES`; all of them by default.

    Raises:
        ConfigError: a name is unknown; the message lists those available.
    """
    for selected in reversed(_selected(only)):
        selected.revert()


def _selected(only: Iterable[str] | None) -> list[Patch]:
    names = list(PATCHES) if only is None else [only] if isinstance(only, str) else list(only)
    for name in names:
        require_name("compat.patch", name, PATCHES)
    return [PATCHES[name] for name in names]
