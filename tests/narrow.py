"""The suite's ResNet-18: fast-reid's with a quarter of the channels, as soon as this module is imported.

It is what `MODEL.BACKBONE.DEPTH 18x` builds in the suite's processes, those that it forks, and those that import its
helpers. Layers, names and sizes of maps are those of the real one; a step costs a fifth, and its checkpoints a
fifteenth of the bytes. Networks of bottlenecks keep their widths. Tests about widths use `wide`.
"""

import importlib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import vireid_plugins  # noqa: F401  makes fastreid importable

resnet: Any = importlib.import_module("fastreid.modeling.backbones.resnet")
_whole = resnet.ResNet._make_layer


def _narrow(self: Any, block: type, planes: int, *others: Any, **more: Any) -> Any:
    return _whole(self, block, planes // 4 if block is resnet.BasicBlock else planes, *others, **more)


@contextmanager
def wide() -> Iterator[None]:
    """Build fast-reid's own ResNet-18 meanwhile."""
    resnet.ResNet._make_layer = _whole
    try:
        yield
    finally:
        resnet.ResNet._make_layer = _narrow


resnet.ResNet._make_layer = _narrow
