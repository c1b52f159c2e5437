"""Defer imports that cost fast-reid seconds at start-up although each serves a single function.

`fastreid/data/transforms/build.py` and `fastreid/utils/collect_env.py` import torchvision, whose models and operators
load torch's compiler; `fastreid/evaluation/reid_evaluation.py` imports scikit-learn for its ROC curve,
`fastreid/utils/compute_dist.py` faiss for re-ranking, and `fastreid/solver/optim/lamb.py` TensorBoard for an
annotation. Inside `deferred(...)` such an import yields a stand-in. On first access, inside fast-reid or from outside,
the real module is imported and replaces the stand-in: `fastreid.data.transforms.build.T` is `torchvision.transforms`.
"""

import importlib
import importlib.util
import sys
import types
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any


class StandIn(types.ModuleType):
    """Stand-in for a module that is imported on first access to an attribute.

    Args:
        name: the module's full name.
        known: attributes that are read without importing it.
    """

    def __init__(self, name: str, known: Mapping[str, Any] | None = None) -> None:
        super().__init__(name)
        vars(self).update(known or {})
        # Attributes of fast-reid's modules that refer to this stand-in.
        self._holders: list[tuple[types.ModuleType, str]] = []

    def __getattr__(self, name: str) -> Any:
        # The import system reads these from a module that is being imported.
        if name in ("__path__", "__file__"):
            raise AttributeError(name)
        return getattr(self.resolve(), name)

    def resolve(self) -> Any:
        """Import what this stands for, put it wherever the stand-in is held, and return it."""
        found = self.imported()
        for holder, attribute in self._holders:
            if vars(holder).get(attribute) is self:
                setattr(holder, attribute, found)
        return found

    def imported(self) -> Any:
        """Import what this stands for."""
        return importlib.import_module(self.__name__)

    def hold(self, holder: types.ModuleType, attribute: str) -> None:
        """Record that a module's attribute refers to this stand-in."""
        self._holders.append((holder, attribute))


class StandInName(StandIn):
    """Stand-in for a name of a module, which `from module import name` yields.

    Args:
        module: the module's full name.
        name: the name in it.
    """

    def __init__(self, module: str, name: str) -> None:
        super().__init__(module)
        self._name = name

    def imported(self) -> Any:
        """Import the module and return what the name is there."""
        return getattr(super().imported(), self._name)


class _Holder(types.ModuleType):
    """A module that holds stand-ins; reading one as an attribute returns the real module."""

    def __getattribute__(self, name: str) -> Any:
        value = super().__getattribute__(name)
        return value.resolve() if isinstance(value, StandIn) else value


@contextmanager
def deferred(
    names: Sequence[str], package: str, known: Mapping[str, Mapping[str, Any]] | None = None
) -> Iterator[None]:
    """Defer imports inside a `with` block.

    Args:
        names: full names of modules, including parents that are not imported before. Modules that are already imported,
            also with a parent among the names, or not installed, are skipped.
        package: the package whose modules keep their stand-ins after the block. Other modules see one only if they
            import a listed module inside the block, and it then behaves like the module.
        known: by module, the attributes that the package reads while it is imported, such as default arguments.
    """
    known = known or {}
    absent = [name for name in names if not {name, *_listed_parents(name, names)} & set(sys.modules)]
    installed = {name: importlib.util.find_spec(name.split(".")[0]) is not None for name in absent}
    stand_ins = {name: StandIn(name, known.get(name)) for name in absent if installed[name]}
    for name, stand_in in stand_ins.items():
        parent, _, child = name.rpartition(".")
        if parent in stand_ins:
            setattr(stand_ins[parent], child, stand_in)
    imported_before = set(sys.modules)
    sys.modules.update(stand_ins)
    try:
        yield
    finally:
        for name, stand_in in stand_ins.items():
            if sys.modules.get(name) is stand_in:
                del sys.modules[name]
        for name in set(sys.modules) - imported_before:
            if name.split(".")[0] == package:
                _record_stand_ins(sys.modules[name])


def _listed_parents(name: str, names: Sequence[str]) -> list[str]:
    return [parent for parent in names if name.startswith(f"{parent}.")]


def _record_stand_ins(module: types.ModuleType) -> None:
    held = [(name, value) for name, value in vars(module).items() if isinstance(value, StandIn)]
    for name, stand_in in held:
        stand_in.hold(module, name)
    if held:
        module.__class__ = _Holder
