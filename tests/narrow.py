"""The suite's ResNet-18: fast-reid's with a quarter of the channels, as soon as this module is imported.

It is what `MODEL.BACKBONE.DEPTH 18x` builds in the suite's processes, those that it forks, and those that import its
helpers. Layers, names and sizes of maps are those of the real one; a step costs a fifth, and its checkpoints a
fifteenth of the bytes. Networks of bottlenecks keep their widths. Tests about widths use `wide`.
"""

import importlib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import vireid_plugins  # noqa: F401  makes fastreid importable

resnet: Any = importlib.import_module("fastreid.modeling.backbones.resnet")
# Commands are given the environment.
WIDE = "VIREID_TEST_WIDE_RESNET"
_whole = resnet.ResNet._make_layer


def _of_width(self: Any, block: type, planes: int, *others: Any, **more: Any) -> Any:
    narrow = block is resnet.BasicBlock and WIDE not in os.environ
    return _whole(self, block, planes // 4 if narrow else planes, *others, **more)


@contextmanager
def wide() -> Iterator[None]:
    """Build fast-reid's own ResNet-18 meanwhile, in commands too."""
    os.environ[WIDE] = "1"
    try:
        yield
    finally:
        del os.environ[WIDE]


resnet.ResNet._make_layer = _of_width
