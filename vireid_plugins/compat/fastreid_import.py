"""Import the unmodified fastreid 1.4.0, which needs names that Python 3.10 and torch 2 no longer have.

`fastreid/data/build.py` imports `string_classes` from `torch._six`, and it and `fastreid/evaluation/testing.py` import
`Mapping` from `collections`. Both names exist only during the import, so that no other package can depend on them.
"""

import collections
import collections.abc
import importlib
import importlib.metadata
import sys
import types
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from vireid_plugins.compat.deferred_import import StandInName, deferred
from vireid_plugins.compat.torchvision_import import repair_torchvision
from vireid_plugins.errors import InstallError

FASTREID_VERSION = "1.4.0"
FASTREID_INSTALL = f"pip install --no-deps fastreid=={FASTREID_VERSION}"
_TENSORBOARD = "torch.utils.tensorboard"
_DEFERRED = ("torchvision", "torchvision.transforms", "sklearn", "sklearn.metrics", "faiss", _TENSORBOARD)
# A default argument of `search_raw_array_pytorch`, and an annotation of `log_lamb_rs`.
_KNOWN: dict[str, dict[str, Any]] = {
    "faiss": {"METRIC_L2": 1},
    _TENSORBOARD: {"SummaryWriter": StandInName(_TENSORBOARD, "SummaryWriter")},
}


def prepare() -> None:
    """Check the version of fastreid and import it; what few functions need is imported on first use.

    Repeated calls do nothing.

    Raises:
        InstallError: a package is missing, broken or of the wrong version; the message ends with the command that fixes
            it.
    """
    if "fastreid.engine" in sys.modules:
        return
    check_fastreid_version()
    repair_torchvision()
    try:
        with removed_names_restored(), deferred(_DEFERRED, "fastreid", _KNOWN):
            importlib.import_module("fastreid.engine")
    except ImportError as error:
        for name in [name for name in sys.modules if name.split(".")[0] == "fastreid"]:
            del sys.modules[name]
        raise InstallError(
            f"fastreid {FASTREID_VERSION} is installed but cannot be imported ({error}). If files are missing, "
            f"reinstall it:",
            f"    pip install --force-reinstall --no-deps fastreid=={FASTREID_VERSION}",
        ) from error


def check_fastreid_version() -> None:
    """Raise an `InstallError` unless the distribution `fastreid` 1.4.0 is installed.

    The metadata is read because `fastreid.__version__` is 1.3 in the 1.4.0 wheel.
    """
    try:
        version = importlib.metadata.version("fastreid")
    except importlib.metadata.PackageNotFoundError:
        raise InstallError(
            "fastreid is not installed. Its metadata pins torch 1.13.1, so install it without dependencies:",
            f"    {FASTREID_INSTALL}",
        ) from None
    if version != FASTREID_VERSION:
        raise InstallError(
            f"fastreid {version} is installed, but {FASTREID_VERSION} is required:", f"    {FASTREID_INSTALL}"
        )


@contextmanager
def removed_names_restored() -> Iterator[None]:
    """Provide `torch._six.string_classes` and `collections.Mapping`, if missing, inside a `with` block."""
    stub = types.ModuleType("torch._six")
    stub.string_classes = (str,)  # type: ignore[attr-defined]
    six_missing = "torch._six" not in sys.modules
    mapping_missing = not hasattr(collections, "Mapping")
    if six_missing:
        sys.modules["torch._six"] = stub
    if mapping_missing:
        collections.Mapping = collections.abc.Mapping  # type: ignore[attr-defined]
    try:
        yield
    finally:
        if six_missing:
            del sys.modules["torch._six"]
        if mapping_missing:
            del collections.Mapping  # type: ignore[attr-defined]
