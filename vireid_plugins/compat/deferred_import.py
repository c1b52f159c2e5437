"""Puts off imports that cost fast-reid seconds at start-up and serve one function each.

`fastreid/data/transforms/build.py` and `fastreid/utils/collect_env.py` import torchvision, whose models and operators
load torch's compiler; `fastreid/evaluation/reid_evaluation.py` imports scikit-learn for its ROC curve. Inside
`deferred(...)` such an import yields a stand-in. The module is imported when somebody looks at the name, inside
fast-reid or from outside, and takes the stand-in's place: `fastreid.data.transforms.build.T` is
`torchvision.transforms`.
"""

import importlib
import importlib.util
import sys
import types
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any


class StandIn(types.ModuleType):
    """A module that is imported when an attribute of it is asked for.

    Args:
        name: the module's whole name.
    """

    def __init__(self, name: str) -> None:
        super().__init__(name)
        # Attributes of fast-reid's modules that hold this stand-in.
        self._holders: list[tuple[types.ModuleType, str]] = []

    def __getattr__(self, name: str) -> Any:
        # What the import system asks of a module that is being imported.
        if name in ("__path__", "__file__"):
            raise AttributeError(name)
        return getattr(self.resolve(), name)

    def resolve(self) -> types.ModuleType:
        """Import the module and put it where the stand-in is held."""
        module = importlib.import_module(self.__name__)
        for holder, attribute in self._holders:
            if vars(holder).get(attribute) is self:
                setattr(holder, attribute, module)
        return module

    def hold(self, holder: types.ModuleType, attribute: str) -> None:
        """Remember that a module has this stand-in under a name."""
        self._holders.append((holder, attribute))


class _Holder(types.ModuleType):
    """A module with stand-ins: who reads such a name from outside gets the module itself."""

    def __getattribute__(self, name: str) -> Any:
        value = super().__getattribute__(name)
        return value.resolve() if isinstance(value, StandIn) else value


@contextmanager
def deferred(names: Sequence[str], package: str) -> Iterator[None]:
    """Put off imports inside a `with` block.

    Args:
        names: whole names of modules, their parents among them. What is imported already, or not installed, is left
            alone.
        package: whose modules keep stand-ins after the block. Others never see one unless they import a listed module
            inside the block, and then it works for them as the module does.
    """
    tops = {name.split(".")[0] for name in names}
    put_off = {top for top in tops if top not in sys.modules and importlib.util.find_spec(top) is not None}
    stand_ins = {name: StandIn(name) for name in names if name.split(".")[0] in put_off}
    for name, stand_in in stand_ins.items():
        parent, _, child = name.rpartition(".")
        if parent:
            setattr(stand_ins[parent], child, stand_in)
    known = set(sys.modules)
    sys.modules.update(stand_ins)
    try:
        yield
    finally:
        for name, stand_in in stand_ins.items():
            if sys.modules.get(name) is stand_in:
                del sys.modules[name]
        for name in set(sys.modules) - known:
            if name.split(".")[0] == package:
                _note_stand_ins(sys.modules[name])


def _note_stand_ins(module: types.ModuleType) -> None:
    held = [(name, value) for name, value in vars(module).items() if isinstance(value, StandIn)]
    for name, stand_in in held:
        stand_in.hold(module, name)
    if held:
        module.__class__ = _Holder
