"""The command `vireid`, outside the package so that `vireid --help` does not import it.

Importing any module of `vireid_plugins` first runs the package's `__init__`, which imports torch and registers
everything. Command lines are parsed before that: `plain` imports a module without the `__init__` of its packages.
"""

import importlib
import sys
import types
from collections.abc import Sequence
from importlib.machinery import ModuleSpec, PathFinder
from pathlib import Path

PACKAGE = "vireid_plugins"


class _BareFinder:
    """Finds packages inside `vireid_plugins`, but not their `__init__`."""

    @staticmethod
    def find_spec(name: str, path: Sequence[str] | None, target: object = None) -> ModuleSpec | None:
        spec = PathFinder.find_spec(name, path) if name.startswith(f"{PACKAGE}.") else None
        if spec is None or spec.submodule_search_locations is None:
            return spec
        bare = ModuleSpec(name, None, is_package=True)
        bare.submodule_search_locations = spec.submodule_search_locations
        return bare


def plain(name: str) -> types.ModuleType:
    """Import a module of `vireid_plugins` that needs only the standard library, without the `__init__` of its packages.

    The module and its imports from the package are then removed from `sys.modules`, so that the package can be imported
    in full later.
    """
    if PACKAGE in sys.modules:
        return importlib.import_module(name)
    package = types.ModuleType(PACKAGE)
    package.__path__ = [str(Path(__file__).with_name(PACKAGE))]
    sys.modules[PACKAGE] = package
    sys.meta_path.insert(0, _BareFinder)
    try:
        return importlib.import_module(name)
    finally:
        sys.meta_path.remove(_BareFinder)
        for key in [key for key in sys.modules if key.split(".")[0] == PACKAGE]:
            del sys.modules[key]


def main() -> None:
    """Run the verb named on the command line, and exit."""
    plain("vireid_plugins.cli.main").run_command()


if __name__ == "__main__":
    main()
