"""Load what extends this package: packages of the entry-point group `vireid_plugins.plugins`, and files."""

import importlib.metadata

from vireid_plugins.config.plugin_files import load_plugin_files
from vireid_plugins.errors import InstallError

GROUP = "vireid_plugins.plugins"
_loaded: set[str] = set()


def load_plugins() -> None:
    """Load every entry point of the group once, and the files of `--plugin`.

    An entry point names a module, whose import registers its parts, or a function without arguments, which is called.

    Raises:
        ConfigError: a file of `--plugin` cannot be loaded; the message names its line.
        InstallError: a plug-in package cannot be loaded; the message names it.
    """
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
    load_plugin_files()
