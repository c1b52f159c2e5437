"""How other files of weights call the parameters of fast-reid's backbones."""

import re
from collections.abc import Callable, Collection

# Name of a fast-reid backbone builder -> function from the names in a file to fast-reid's; see `register_names`.
NAMES: dict[str, Callable[[Collection[str]], dict[str, str]]] = {}


def register_names(
    builder: str,
) -> Callable[[Callable[[Collection[str]], dict[str, str]]], Callable[[Collection[str]], dict[str, str]]]:
    """Register the decorated function, which renames what a file has for the fast-reid backbone `builder`.

    It takes every name of the file and returns those that fast-reid calls otherwise, with fast-reid's name.
    """

    def register(function: Callable[[Collection[str]], dict[str, str]]) -> Callable[[Collection[str]], dict[str, str]]:
        NAMES[builder] = function
        return function

    return register


def renamed(builder: str, names: Collection[str]) -> dict[str, str]:
    """Return fast-reid's name of every name in a file of weights for `builder`."""
    others = NAMES[builder](names) if builder in NAMES else {}
    return {name: others.get(name, name) for name in names}


@register_names("build_mobilenetv2_backbone")
def rename_mobilenetv2(names: Collection[str]) -> dict[str, str]:
    """Return fast-reid's names of MobileNetV2's weights.

    fast-reid's network is that of tonylins/pytorch-mobilenet-v2, whose last 1 x 1 convolution it moves from
    `features.18` to `conv`. torchvision's has the same layers in the same order, but each convolution with its batch
    norm and ReLU6 in a block of its own: the last two layers of an inverted residual are a convolution and a batch norm
    without one.
    """
    nested = "features.1.conv.0.0.weight" in names
    found = {}
    for name in names:
        last = re.fullmatch(r"features\.18\.(.+)", name)
        inside = re.fullmatch(r"features\.(\d+)\.conv\.(\d)\.(?:([01])\.)?(\w+)", name)
        if last:
            found[name] = f"conv.{last[1]}"
        elif nested and inside:
            residual, layer, part, parameter = inside.groups()
            # How many blocks of three layers come first: the first residual does not expand.
            blocks = 1 if residual == "1" else 2
            flat = 2 * blocks + int(layer) if part is None else 3 * int(layer) + int(part)
            found[name] = f"features.{residual}.conv.{flat}.{parameter}"
    return found
