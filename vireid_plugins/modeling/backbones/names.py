"""Parameter names of fast-reid's backbones in weight files from other sources."""

import re
from collections.abc import Callable, Collection

# Name of a fast-reid backbone builder -> function from the names in a file to fast-reid's names; see `register_names`.
NAMES: dict[str, Callable[[Collection[str]], dict[str, str]]] = {}


def register_names(
    builder: str,
) -> Callable[[Callable[[Collection[str]], dict[str, str]]], Callable[[Collection[str]], dict[str, str]]]:
    """Register the decorated function, which renames the parameters in a file for the fast-reid backbone `builder`.

    It takes all names in the file and returns fast-reid's name for each one that differs.
    """

    def register(function: Callable[[Collection[str]], dict[str, str]]) -> Callable[[Collection[str]], dict[str, str]]:
        NAMES[builder] = function
        return function

    return register


def renamed(builder: str, names: Collection[str]) -> dict[str, str]:
    """Return fast-reid's name for every name in a weight file for `builder`."""
    differing = NAMES[builder](names) if builder in NAMES else {}
    return {name: differing.get(name, name) for name in names}


@register_names("build_mobilenetv2_backbone")
def rename_mobilenetv2(names: Collection[str]) -> dict[str, str]:
    """Return fast-reid's names for the weights of MobileNetV2.

    fast-reid's network is that of tonylins/pytorch-mobilenet-v2, with the last 1 x 1 convolution moved from
    `features.18` to `conv`. torchvision's has the same layers in the same order, but groups each convolution with its
    batch norm and ReLU6 in a nested block, except the last two layers of an inverted residual, a convolution and a
    batch norm.
    """
    nested = "features.1.conv.0.0.weight" in names
    new_names = {}
    for name in names:
        last = re.fullmatch(r"features\.18\.(.+)", name)
        inside = re.fullmatch(r"features\.(\d+)\.conv\.(\d)\.(?:([01])\.)?(\w+)", name)
        if last:
            new_names[name] = f"conv.{last[1]}"
        elif nested and inside:
            residual, layer, part, parameter = inside.groups()
            # Number of nested blocks, of three layers each, before the last two layers; residual 1 has no expansion.
            blocks = 1 if residual == "1" else 2
            flat = 2 * blocks + int(layer) if part is None else 3 * int(layer) + int(part)
            new_names[name] = f"features.{residual}.conv.{flat}.{parameter}"
    return new_names
