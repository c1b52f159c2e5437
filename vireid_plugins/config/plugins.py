"""Load what extends this package: packages of the entry-point group `vireid_plugins.plugins`, and files."""

import importlib.metadata
import sys
from contextlib import suppress
from pathlib import Path

from vireid_plugins.config.plugin_files import load_plugin_files
from vireid_plugins.errors import InstallError

GROUP = "vireid_plugins.plugins"
_loaded: set[str] = set()
# The folders that were looked into, as they were then. Reading what is installed takes longer than the rest of get_cfg.
_looked_into: list[tuple[str, int]] = []


def load_plugins() -> None:
    """Load every entry point of the group once, and the files of `--plugin`.

    An entry point names a module, whose import registers its parts, or a function without arguments, which is called.

    Raises:
        ConfigError: a file of `--plugin` cannot be loaded; the message names its line.
        InstallError: a plug-in package cannot be loaded; the message names it.
    """
    folders = _folders()
    if folders != _looked_into:
        _load_entry_points()
        _looked_into[:] = folders
    load_plugin_files()


def _folders() -> list[tuple[str, int]]:
    """Return where packages are looked for, and when each folder last changed, as an installation changes it."""
    found = []
    for folder in sys.path:
        with suppress(OSError):
            found.append((folder, Path(folder).stat().st_mtime_ns))
    return found


def _load_entry_points() -> None:
    """Load those that have not been loaded yet."""
    for entry in importlib.metadata.entry_points(group=GROUP):
        if entry.value in _loaded:
            continue
        try:
            plugin = entry.load()
            if callable(plugin):
                plugin()
        except (Exception, SystemExit) as error:
            said = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
            raise InstallError(
                f"plug-in '{entry.name}' ({entry.value}) cannot be loaded: {said}. Fix or uninstall the package "
                f"{entry.dist.name if entry.dist else 'that provides it'}."
            ) from error
        _loaded.add(entry.value)
