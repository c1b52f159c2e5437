"""Describe a checkpoint without its values, and fill a similar one by formula.

A manifest is JSON. Numbers, strings and lists represent themselves; an object has one key, which is its kind:

- `tensors`: a dict of only tensors, each as `float32 64x3x7x7`; with `versions`, those of a state dict's modules
- `dict`, `numbered`: a dict whose keys are strings, or integers
- `tuple`, `tensor`, `array`: as their names
- `range`: a list of the integers of a half-open interval
- `words`: a list of integers, given by its length and its last entry
- `type`: the name of anything else, which cannot be filled
"""

import json
import zlib
from collections import OrderedDict
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

FOLDER = Path(__file__).parent / "fixtures" / "checkpoints"
# Longer lists of whole numbers that do not count are states of random generators.
LONGEST = 100
# A prime, so that the rows of a weight differ.
TABLE = torch.arange(10_007, dtype=torch.float64).mul(4_294_967).remainder(10_007).div(5_003).sub(1).float()


def manifest_of(method: str) -> dict[str, Any]:
    """The manifest of a method: `commit`, `config_file`, `overrides`, `parameters` and `checkpoint`.

    `parameters` names what the optimizer's state knows by number only.
    """
    found: dict[str, Any] = json.loads((FOLDER / f"{method}.json").read_text(encoding="utf-8"))
    return found


def describe(value: Any) -> Any:
    """Return the manifest of a checkpoint or a part of it."""
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, Tensor):
        return {"tensor": _kind(value)}
    if isinstance(value, np.ndarray):
        return {"array": _kind(value)}
    if isinstance(value, dict):
        return _dict(value)
    if isinstance(value, list):
        if len(value) > 1 and all(type(one) is int for one in value):
            if value == list(range(value[0], value[0] + len(value))):
                return {"range": [value[0], value[0] + len(value)]}
            if len(value) > LONGEST:
                return {"words": [len(value), value[-1]]}
        return [describe(one) for one in value]
    if isinstance(value, tuple):
        return {"tuple": [describe(one) for one in value]}
    return {"type": f"{type(value).__module__}.{type(value).__qualname__}"}


def _kind(value: Tensor | np.ndarray) -> str:
    return " ".join([str(value.dtype).removeprefix("torch."), "x".join(map(str, value.shape))]).strip()


def _dict(value: dict[Any, Any]) -> dict[str, Any]:
    if value and all(isinstance(one, Tensor) for one in value.values()):
        described: dict[str, Any] = {"tensors": {key: _kind(one) for key, one in value.items()}}
        if isinstance(value, OrderedDict):
            versions: dict[int, list[str]] = {}
            for module, facts in getattr(value, "_metadata", {}).items():
                versions.setdefault(facts["version"], []).append(module)
            described["versions"] = {str(version): " ".join(modules) for version, modules in versions.items()}
        return described
    if value and all(type(key) is int for key in value):
        return {"numbered": {str(key): describe(one) for key, one in value.items()}}
    if not all(isinstance(key, str) for key in value):
        return {"type": "dict of other keys"}
    return {"dict": {key: describe(one) for key, one in value.items()}}


def fill(described: Any, path: str = "") -> Any:
    """Return what `describe` would describe so; every value follows from its path and shape.

    Raises:
        ValueError: there is something that has no formula.
    """
    if isinstance(described, list):
        return [fill(one, f"{path}/{number}") for number, one in enumerate(described)]
    if not isinstance(described, dict):
        return described
    kind, content = next(iter(described.items()))
    if kind == "tensors":
        return _state_dict(described, path)
    if kind in ("dict", "numbered"):
        return {int(key) if kind == "numbered" else key: fill(one, f"{path}/{key}") for key, one in content.items()}
    if kind == "tuple":
        return tuple(fill(one, f"{path}/{number}") for number, one in enumerate(content))
    if kind == "tensor":
        return tensor(content, path)
    if kind == "array":
        return tensor(content, path).numpy()
    if kind == "range":
        return list(range(*content))
    if kind == "words":
        length, last = content
        return [(number * 2_654_435_761 + 1) % 2**32 for number in range(length - 1)] + [last]
    raise ValueError(f"{path}: a {content} has no formula")


def _state_dict(described: dict[str, Any], path: str) -> dict[str, Tensor]:
    filled = {key: tensor(one, f"{path}/{key}") for key, one in described["tensors"].items()}
    if "versions" not in described:
        return filled
    ordered = OrderedDict(filled)
    versions = {module: int(version) for version, text in described["versions"].items() for module in text.split(" ")}
    ordered._metadata = OrderedDict((module, {"version": version}) for module, version in versions.items())
    return ordered


def tensor(kind: str, path: str) -> Tensor:
    """Return the tensor of a path: a network filled so has finite features, an optimizer finite steps."""
    # Later checkpoints hold the metrics of every process beside their sum, which are the same in a run of one.
    path = path.replace("/processes/0/", "/")
    dtype, _, sizes = kind.partition(" ")
    of, shape = getattr(torch, dtype), [int(size) for size in sizes.split("x") if size]
    name, key = path.rpartition("/")[2].rpartition(".")[2], zlib.crc32(path.encode())
    if of is torch.uint8:
        # A generator refuses bytes that are no state of one.
        return torch.Generator().manual_seed(key).get_state().reshape(shape)
    if name == "step" or not of.is_floating_point:
        numbers = torch.arange(int(np.prod(shape))).add(key % 97 + 1).remainder(1000)
        return numbers.reshape(shape).to(of)
    count = int(np.prod(shape))
    values = TABLE.roll(key % len(TABLE)).repeat(-(-count // len(TABLE)))[:count].reshape(shape)
    if name in ("running_var", "exp_avg_sq"):
        # Large, so that a network's maps do not grow: DEEN multiplies them with each other.
        values = values.abs().add(9)
    elif len(shape) > 1:
        values = values.mul((3 * shape[0] / count) ** 0.5)
    else:
        values = values.mul(0.1).add(name in ("weight", "p"))
    return values.to(of)


def differences(then: Any, now: Any, path: str = "", agreement: float = 0.0) -> list[str]:
    """Return where a checkpoint differs from an earlier one; entries that the earlier one lacks are no difference.

    Tensors and fractions may differ by `agreement` of the larger of 1 and the tensor's largest value.
    """
    if isinstance(then, Tensor | np.ndarray):
        if type(now) is not type(then) or _kind(now) != _kind(then):
            return [f"{path}: {_kind(then)} is {_kind(now) if isinstance(now, Tensor | np.ndarray) else repr(now)}"]
        if bool((then == now).all()):
            return []
        size = max(1.0, float(abs(then).max()))
        apart = float(abs(then - now).max()) / size if then.dtype in (torch.float32, torch.float64) else np.inf
        return [] if apart <= agreement else [f"{path}: other values, {apart:.1e} apart"]
    if isinstance(then, float) and isinstance(now, float) and abs(then - now) <= agreement * max(1.0, abs(then)):
        return []
    if isinstance(then, dict) and isinstance(now, dict):
        missing = [f"{path}/{key}: missing" for key in then if key not in now]
        return missing + [
            line for key in then if key in now for line in differences(then[key], now[key], f"{path}/{key}", agreement)
        ]
    if isinstance(then, list | tuple) and type(now) is type(then) and len(now) == len(then):
        pairs = enumerate(zip(then, now, strict=True))
        return [line for number, (a, b) in pairs for line in differences(a, b, f"{path}/{number}", agreement)]
    return [] if type(now) is type(then) and now == then else [f"{path}: {then!r} is {now!r}"]
