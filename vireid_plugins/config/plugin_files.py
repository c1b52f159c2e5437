"""Load Python files that register parts and are no package yet: `--plugin my_loss.py`.

The files are named in an environment variable, so that every process that this one starts loads them as well. Their
folders are at the end of Python's path, so that classes of theirs can be sent to other processes.
"""

import importlib.util
import os
import sys
import traceback
from collections.abc import Iterable
from pathlib import Path

from vireid_plugins.errors import ConfigError
from vireid_plugins.io.regular import require_regular

# Absolute paths, separated as those in PATH.
VARIABLE = "VIREID_PLUGIN_FILES"
_loaded: set[Path] = set()


def use_plugin_files(files: Iterable[str | Path]) -> None:
    """Let `load_plugin_files` load these files too, in this process and those that it starts.

    Raises:
        ConfigError: a file does not exist, or its name is no name of a Python module.
    """
    known = named_files()
    for file in files:
        path = Path(os.path.abspath(file))  # noqa: PTH100  a link keeps its name
        try:
            require_regular(path)
        except OSError as error:
            raise ConfigError(f"--plugin: '{file}' cannot be read: {error.strerror}") from None
        if path.suffix != ".py" or not path.stem.isidentifier() or os.pathsep in str(path):
            raise ConfigError(f"--plugin: '{file}' must be a Python file with a name like my_loss.py")
        known += [path] if path not in known else []
    os.environ[VARIABLE] = os.pathsep.join(map(str, known))


def named_files() -> list[Path]:
    """Return the files that the environment variable names."""
    return [Path(word) for word in os.environ.get(VARIABLE, "").split(os.pathsep) if word]


def load_plugin_files() -> None:
    """Import every named file once; its import registers its parts.

    Raises:
        ConfigError: a file fails; the message names its line. Or a module of its name exists.
    """
    for file in named_files():
        if file not in _loaded:
            _load(file)
            _loaded.add(file)


def loaded_files() -> list[str]:
    """Return the names of the loaded files, without their folders."""
    return sorted(file.name for file in _loaded)


def _load(file: Path) -> None:
    name = file.stem
    if getattr(sys.modules.get(name), "__file__", None) == str(file):
        # By its name, for an object that another process sent.
        return
    _require_free(file)
    spec = importlib.util.spec_from_file_location(name, file)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    if str(file.parent) not in sys.path:
        sys.path.append(str(file.parent))
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except (Exception, SystemExit) as error:
        del sys.modules[name]
        said = f"{type(error).__name__}: {getattr(error, 'msg', error)}" if str(error) else type(error).__name__
        raise ConfigError(f"plug-in file '{file}'{_line(error, file)}: {said}") from None


def _require_free(file: Path) -> None:
    """Raise a `ConfigError` if another module has the file's name; importing one would give the other."""
    try:
        found = importlib.util.find_spec(file.stem)
        place = found.origin if found else None
    except (ImportError, ValueError):  # a module without a spec, such as the script that runs
        place = "this program"
    if file.stem in sys.modules or place not in (None, str(file)):
        raise ConfigError(f"plug-in file '{file}': there is a module '{file.stem}' already ({place}); rename the file")


def _line(error: BaseException, file: Path) -> str:
    """Return the line of the file that failed, as far as it is known."""
    if isinstance(error, SyntaxError) and error.filename == str(file):
        return f" line {error.lineno}"
    lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename == str(file)]
    return f" line {lines[-1]}" if lines else ""
