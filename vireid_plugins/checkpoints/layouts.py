"""The public code bases whose checkpoints can be converted: those of the methods, and AGW's, which no method owns.

Imports only the standard library: a command line lists the layouts.
"""

import importlib
import importlib.util
import pkgutil

from vireid_plugins import methods
from vireid_plugins.io.checkpoint_layout import DUAL_STREAM, NON_LOCAL, Layout


def _layouts_of_methods() -> dict[str, Layout]:
    """Return what `layout.py` of every method that has one defines."""
    layouts: dict[str, Layout] = {}
    for method in pkgutil.iter_modules(methods.__path__, f"{methods.__name__}."):
        name = f"{method.name}.layout"
        if importlib.util.find_spec(name):
            layouts |= importlib.import_module(name).LAYOUTS
    return layouts


LAYOUTS: dict[str, Layout] = {"agw": Layout("SYSU/agw.yml", (*DUAL_STREAM, *NON_LOCAL)), **_layouts_of_methods()}
