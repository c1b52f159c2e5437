"""Imports torchvision, also beside a torch build that cannot load its compiled operators.

A CPU build of torch next to PyPI's torchvision (built for CUDA) dies at import with "operator torchvision::nms does not
exist". Nothing here or in fastreid calls those operators, so their schemas are declared and the import repeated, but
only after that very error: declaring them beside a healthy torchvision would abort its own registration.
"""

import importlib
import re
import sys

import torch

from vireid_plugins.errors import InstallError

_SCHEMAS = {
    "nms": "nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
    "qnms": "qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
}
_MISSING = re.compile(r"operator torchvision::(\w+) does not exist")
# A Library takes its declarations back when it is collected, so it lives as long as the process.
_libraries: list[torch.library.Library] = []


def import_torchvision() -> None:
    """Import torchvision, declaring the schemas of operators it misses.

    Raises:
        InstallError: torchvision is missing, or does not fit the installed torch.
    """
    for _ in range(len(_SCHEMAS) + 1):
        try:
            importlib.import_module("torchvision")
            return
        except (ImportError, RuntimeError, AttributeError) as error:
            _forget("torchvision")
            missing = _MISSING.search(str(error))
            if missing is None or missing[1] not in _SCHEMAS:
                raise InstallError(_advice(error)) from error
            library = torch.library.Library("torchvision", "FRAGMENT")
            library.define(_SCHEMAS[missing[1]])
            _libraries.append(library)
    raise InstallError(_advice(RuntimeError("its operators cannot be declared")))


def _forget(package: str) -> None:
    """Drop a half-imported package, so that the next import starts afresh."""
    for name in [name for name in sys.modules if name == package or name.startswith(package + ".")]:
        del sys.modules[name]


def _advice(error: Exception) -> str:
    reason = "is not installed" if isinstance(error, ModuleNotFoundError) else f"cannot be imported ({error})"
    return (
        f"torchvision {reason}; torch is {torch.__version__}. Install a matching pair, for instance the tested one:\n"
        "    pip install torch==2.13.0 torchvision==0.28.0"
    )
