"""Make torchvision importable with a torch build that cannot load its compiled operators.

PyPI's torchvision, built for CUDA, fails to import with a CPU build of torch: "operator torchvision::nms does not
exist". Nothing here or in fastreid calls those operators, so their schemas are declared and the import is retried, but
only after this very error: declaring them for a working torchvision would abort its own registration. Importing
torchvision takes a second, so it is left to the first user.
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
# A Library removes its declarations when it is garbage-collected, so keep it alive.
_libraries: list[torch.library.Library] = []


def repair_torchvision() -> None:
    """Make the first import of torchvision, wherever it happens, declare the schemas of missing operators.

    That import raises an `InstallError` if torchvision does not match the installed torch.

    Raises:
        InstallError: torchvision is not installed.
    """
    if "torchvision" in sys.modules or any(isinstance(finder, _Finder) for finder in sys.meta_path):
        return
    if importlib.util.find_spec("torchvision") is None:
        raise InstallError(*_advice("is not installed"))
    sys.meta_path.insert(0, _Finder())


class _Finder(importlib.abc.MetaPathFinder):
    """Finds torchvision through the other finders and wraps its loader in `_Loader`."""

    def find_spec(
        self, name: str, path: Sequence[str] | None, target: types.ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        """Return torchvision's spec, or None for any other module."""
        if name != "torchvision":
            return None
        specs = (finder.find_spec(name, path, target) for finder in sys.meta_path if finder is not self)
        spec = next((spec for spec in specs if spec is not None), None)
        if spec is not None and spec.loader is not None:
            spec.loader = _Loader(spec.loader)
        return spec


class _Loader(importlib.abc.Loader):
    """Executes the package, and again after declaring each missing operator.

    Args:
        loader: the package's own loader.
    """

    def __init__(self, loader: importlib.abc.Loader) -> None:
        self._loader = loader

    def create_module(self, spec: importlib.machinery.ModuleSpec) -> types.ModuleType | None:
        """Delegate to the package's own loader."""
        return self._loader.create_module(spec)

    def exec_module(self, module: types.ModuleType) -> None:
        """Execute the package.

        Raises:
            InstallError: it does not match the installed torch.
        """
        assert module.__spec__ is not None
        module.__loader__ = module.__spec__.loader = self._loader
        for _ in range(len(_SCHEMAS) + 1):
            try:
                self._loader.exec_module(module)
                return
            except (ImportError, RuntimeError, AttributeError) as error:
                _forget_submodules()
                missing = _MISSING.search(str(error))
                if missing is None or missing[1] not in _SCHEMAS:
                    raise InstallError(*_advice(f"cannot be imported ({error})")) from error
                library = torch.library.Library("torchvision", "FRAGMENT")
                library.define(_SCHEMAS[missing[1]])
                _libraries.append(library)
        raise InstallError(*_advice("cannot be imported (its operators cannot be declared)"))


def _forget_submodules() -> None:
    """Remove the submodules of a partly imported torchvision, so that they are executed again."""
    for name in [name for name in sys.modules if name.startswith("torchvision.")]:
        del sys.modules[name]


def _advice(reason: str) -> tuple[str, str]:
    return (
        f"torchvision {reason}; torch is {torch.__version__}. Install a matching pair, such as the tested one:",
        "    pip install torch==2.13.0 torchvision==0.28.0",
    )
