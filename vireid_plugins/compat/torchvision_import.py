"""Makes torchvision importable beside a torch build that cannot load its compiled operators.

A CPU build of torch next to PyPI's torchvision (built for CUDA) dies at import with "operator torchvision::nms does not
exist". Nothing here or in fastreid calls those operators, so their schemas are declared and the import repeated, but
only after that very error: declaring them beside a healthy torchvision would abort its own registration. Since
torchvision takes a second to import, that is not done until somebody does.
"""

import importlib.abc
import importlib.machinery
import importlib.util
import re
import sys
import types
from collections.abc import Sequence

import torch

from vireid_plugins.errors import InstallError

_SCHEMAS = {
    "nms": "nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
    "qnms": "qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
}
_MISSING = re.compile(r"operator torchvision::(\w+) does not exist")
# A Library takes its declarations back when it is collected, so it lives as long as the process.
_libraries: list[torch.library.Library] = []


def repair_torchvision() -> None:
    """Have the first import of torchvision, wherever it is, declare the schemas of operators that are missing.

    That import raises `InstallError` where torchvision does not fit the installed torch.

    Raises:
        InstallError: torchvision is not installed.
    """
    if "torchvision" in sys.modules or any(isinstance(finder, _Finder) for finder in sys.meta_path):
        return
    if importlib.util.find_spec("torchvision") is None:
        raise InstallError(_advice("is not installed"))
    sys.meta_path.insert(0, _Finder())


class _Finder(importlib.abc.MetaPathFinder):
    """Finds torchvision where the other finders do, and has it loaded by `_Loader`."""

    def find_spec(
        self, name: str, path: Sequence[str] | None, target: types.ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        """Return torchvision's spec, and None for all other modules."""
        if name != "torchvision":
            return None
        found = (finder.find_spec(name, path, target) for finder in sys.meta_path if finder is not self)
        spec = next((spec for spec in found if spec is not None), None)
        if spec is not None and spec.loader is not None:
            spec.loader = _Loader(spec.loader)
        return spec


class _Loader(importlib.abc.Loader):
    """Runs the package, and once more for each operator that it misses.

    Args:
        loader: the package's own.
    """

    def __init__(self, loader: importlib.abc.Loader) -> None:
        self._loader = loader

    def create_module(self, spec: importlib.machinery.ModuleSpec) -> types.ModuleType | None:
        """Leave it to the package's own loader."""
        return self._loader.create_module(spec)

    def exec_module(self, module: types.ModuleType) -> None:
        """Run the package.

        Raises:
            InstallError: it does not fit the installed torch.
        """
        assert module.__spec__ is not None
        module.__loader__ = module.__spec__.loader = self._loader
        for _ in range(len(_SCHEMAS) + 1):
            try:
                self._loader.exec_module(module)
                return
            except (ImportError, RuntimeError, AttributeError) as error:
                _forget_inner()
                missing = _MISSING.search(str(error))
                if missing is None or missing[1] not in _SCHEMAS:
                    raise InstallError(_advice(f"cannot be imported ({error})")) from error
                library = torch.library.Library("torchvision", "FRAGMENT")
                library.define(_SCHEMAS[missing[1]])
                _libraries.append(library)
        raise InstallError(_advice("cannot be imported (its operators cannot be declared)"))


def _forget_inner() -> None:
    """Drop the modules inside a half-imported torchvision, so that they are run again."""
    for name in [name for name in sys.modules if name.startswith("torchvision.")]:
        del sys.modules[name]


def _advice(reason: str) -> str:
    return (
        f"torchvision {reason}; torch is {torch.__version__}. Install a matching pair, for instance the tested one:\n"
        "    pip install torch==2.13.0 torchvision==0.28.0"
    )
