"""Imports the unmodified fastreid 1.4.0, which asks for names that Python 3.10 and torch 2 no longer have.

`fastreid/data/build.py` imports `string_classes` from `torch._six`, and it and `fastreid/evaluation/testing.py` import
`Mapping` from `collections`. Both names are lent for the time of the import and taken away again, so that no other
package can come to depend on them.
"""

import collections
import collections.abc
import importlib
import importlib.metadata
import sys
import types
from collections.abc import Iterator
from contextlib import contextmanager

from vireid_plugins.compat.deferred_import import deferred
from vireid_plugins.compat.torchvision_import import repair_torchvision
from vireid_plugins.errors import InstallError

FASTREID_VERSION = "1.4.0"
FASTREID_INSTALL = f"pip install --no-deps fastreid=={FASTREID_VERSION}"
_DEFERRED = ("torchvision", "torchvision.transforms", "sklearn", "sklearn.metrics")


def prepare() -> None:
    """Check and import fastreid; torchvision and scikit-learn are imported when used. Repeated calls cost nothing.

    Raises:
        InstallError: one of them is missing, of another version, or broken; the message ends with the remedy.
    """
    if "fastreid.engine" in sys.modules:
        return
    check_fastreid_version()
    repair_torchvision()
    try:
        with lent_names(), deferred(_DEFERRED, "fastreid"):
            importlib.import_module("fastreid.engine")
    except ImportError as error:
        for name in [name for name in sys.modules if name.split(".")[0] == "fastreid"]:
            del sys.modules[name]
        raise InstallError(
            f"fastreid {FASTREID_VERSION} is installed but cannot be imported ({error}). If files are missing, "
            f"reinstall it:\n    pip install --force-reinstall --no-deps fastreid=={FASTREID_VERSION}"
        ) from error


def check_fastreid_version() -> None:
    """Raise `InstallError` unless the distribution `fastreid` 1.4.0 is installed.

    The distribution is asked, since `fastreid.__version__` says 1.3 in the 1.4.0 wheel.
    """
    try:
        version = importlib.metadata.version("fastreid")
    except importlib.metadata.PackageNotFoundError:
        raise InstallError(
            "fastreid is not installed. Its metadata pins torch 1.13.1, so install it without dependencies:\n"
            f"    {FASTREID_INSTALL}"
        ) from None
    if version != FASTREID_VERSION:
        raise InstallError(f"fastreid {version} is installed, {FASTREID_VERSION} is needed:\n    {FASTREID_INSTALL}")


@contextmanager
def lent_names() -> Iterator[None]:
    """Lend `torch._six.string_classes` and `collections.Mapping`, where they are missing, inside a `with` block."""
    stub = types.ModuleType("torch._six")
    stub.string_classes = (str,)  # type: ignore[attr-defined]
    lend_six = "torch._six" not in sys.modules
    lend_mapping = not hasattr(collections, "Mapping")
    if lend_six:
        sys.modules["torch._six"] = stub
    if lend_mapping:
        collections.Mapping = collections.abc.Mapping  # type: ignore[attr-defined]
    try:
        yield
    finally:
        if lend_six:
            del sys.modules["torch._six"]
        if lend_mapping:
            del collections.Mapping  # type: ignore[attr-defined]
