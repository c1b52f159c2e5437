"""Defer imports that cost fast-reid seconds at start-up although each serves a single function.

`fastreid/data/transforms/build.py` and `fastreid/utils/collect_env.py` import torchvision, whose models and operators
load torch's compiler; `fastreid/evaluation/reid_evaluation.py` imports scikit-learn for its ROC curve. Inside
`deferred(...)` such an import yields a stand-in. On first access, inside fast-reid or from outside, the real module is
imported and replaces the stand-in: `fastreid.data.transforms.build.T` is `torchvision.transforms`.
"""

import importlib
import importlib.util
import sys
import types
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any


class StandIn(types.ModuleType):
    """Stand-in for a module that is imported on first access to an attribute.

    Args:
        name: the module's full name.
    """

    def __init__(self, name: str) -> None:
        super().__init__(name)
        # Attributes of fast-reid's modules that refer to this stand-in.
        self._holders: list[tuple[types.ModuleType, str]] = []

    def __getattr__(self, name: str) -> Any:
        # The import system reads these from a module that is being imported.
        if name in ("__path__", "__file__"):
            raise AttributeError(name)
        return getattr(self.resolve(), name)

    def resolve(self) -> types.ModuleType:
        """Import the module, replace the stand-in wherever it is held, and return the module."""
        module = importlib.import_module(self.__name__)
        for holder, attribute in self._holders:
            if vars(holder).get(attribute) is self:
                setattr(holder, attribute, module)
        return module

    def hold(self, holder: types.ModuleType, attribute: str) -> None:
        """Record that a module's attribute refers to this stand-in."""
        self._holders.append((holder, attribute))


class _Holder(types.ModuleType):
    """A module that holds stand-ins; reading one as an attribute returns the real module."""

    def __getattribute__(self, name: str) -> Any:
        value = super().__getattribute__(name)
        return value.resolve() if isinstance(value, StandIn) else value


@contextmanager
def deferred(names: Sequence[str], package: str) -> Iterator[None]:
    """Defer imports inside a `with` block.

    Args:
        names: full names of modules, including their parents. Packages that are already imported, or not installed, are
            skipped.
        package: the package whose modules keep their stand-ins after the block. Other modules see one only if they
            import a listed module inside the block, and it then behaves like the module.
    """
    packages = {name.split(".")[0] for name in names}
    to_defer = {top for top in packages if top not in sys.modules and importlib.util.find_spec(top) is not None}
    stand_ins = {name: StandIn(name) for name in names if name.split(".")[0] in to_defer}
    for name, stand_in in stand_ins.items():
        parent, _, child = name.rpartition(".")
        if parent:
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


def _record_stand_ins(module: types.ModuleType) -> None:
    held = [(name, value) for name, value in vars(module).items() if isinstance(value, StandIn)]
    for name, stand_in in held:
        stand_in.hold(module, name)
    if held:
        module.__class__ = _Holder
