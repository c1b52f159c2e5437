"""Match the tensors of a file with those of a module, and describe what does not fit."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from vireid_plugins.errors import DataError

# Number of names that a message lists.
LISTED = 3
# Older files lack it, and evaluation does not use it.
COUNTER = "num_batches_tracked"


@dataclass(frozen=True)
class Fit:
    """How the tensors of a file fit a module.

    Attributes:
        fitting: the file's tensors whose names, shapes and kinds match.
        total: number of tensors in the module.
        missing: names in the module that the file lacks, except the counters of batch norms.
        shapes: by common name, the shapes in the file and in the module where they differ.
        unused: names in the file that the module lacks.
        types: by common name with equal shapes, the types in the file and in the module, where the file's numbers
            are not of the module's kind (integers for real numbers, complex numbers, sparse or quantized tensors).
    """

    fitting: dict[str, Tensor]
    total: int
    missing: tuple[str, ...]
    shapes: dict[str, tuple[tuple[int, ...], tuple[int, ...]]]
    unused: tuple[str, ...]
    types: dict[str, tuple[str, str]]

    @property
    def unfilled(self) -> tuple[str, ...]:
        """Names of the tensors that keep their initial values."""
        return (*self.missing, *self.shapes, *self.types)

    def __str__(self) -> str:
        """Describe in one sentence what fits and what does not."""
        parts = [f"{len(self.fitting)} of {self.total} tensors fit"]
        if self.missing:
            parts.append(f"{len(self.missing)} are missing: {listed(self.missing)}")
        if self.shapes:
            name, (in_file, in_module) = next(iter(self.shapes.items()))
            first = f"{name}, {in_file} in the file and {in_module} here"
            parts.append(f"{len(self.shapes)} have another shape, the first: {first}")
        if self.types:
            name, (kind, own) = next(iter(self.types.items()))
            parts.append(f"{len(self.types)} have another type, the first: {name}, {kind} in the file and {own} here")
        if self.unused:
            parts.append(f"{len(self.unused)} in the file have no counterpart: {listed(self.unused)}")
        return "; ".join(parts)


def fit(own: Mapping[str, Tensor], given: Mapping[str, Tensor], source: str) -> Fit:
    """Compare the tensors of a module with those of a file.

    Args:
        own: the module's state dict.
        given: the file's tensors by the module's names.
        source: the file, for messages.

    Raises:
        DataError: a tensor that fits has values that are infinite or NaN, also after rounding to the module's type.
    """
    shapes = {name: (tuple(given[name].shape), tuple(value.shape)) for name, value in own.items() if name in given}
    equal = [name for name, (in_file, in_module) in shapes.items() if in_file == in_module]
    others = [name for name in equal if not name.endswith(COUNTER) and not _same_kind(given[name], own[name])]
    types = {name: (_type(given[name]), _type(own[name])) for name in others}
    found = Fit(
        {name: given[name] for name in equal if name not in types},
        len(own),
        tuple(name for name in own if name not in given and not name.endswith(COUNTER)),
        {name: pair for name, pair in shapes.items() if pair[0] != pair[1]},
        tuple(name for name in given if name not in own),
        types,
    )
    broken = [name for name, value in found.fitting.items() if not _finite(value, own[name])]
    if broken:
        raise DataError(
            f"{source} has weights that are infinite or NaN, {len(broken)} of {len(own)} tensors: {listed(broken)}; "
            "use a checkpoint from before the training diverged, or download the file again"
        )
    return found


def listed(names: Sequence[str]) -> str:
    """Join the first names, with an ellipsis if there are more."""
    return ", ".join(names[:LISTED]) + (", ..." if len(names) > LISTED else "")


def _same_kind(given: Tensor, own: Tensor) -> bool:
    """Return whether a tensor can be copied into another without changing what its numbers are."""
    dense = given.layout == torch.strided and not given.is_quantized and not given.is_meta and not given.is_nested
    return dense and given.is_floating_point() == own.is_floating_point() and given.is_complex() == own.is_complex()


def _finite(given: Tensor, own: Tensor) -> bool:
    """Return whether all numbers are finite in the module's type; where the module's are not, nothing is asked."""
    if not own.is_floating_point() or not bool(own.isfinite().all()):
        return True
    return bool(given.to(own.dtype).isfinite().all())


def _type(value: Tensor) -> str:
    layout = "meta" if value.is_meta else "nested" if value.is_nested else str(value.layout).removeprefix("torch.")
    dtype = str(value.dtype).removeprefix("torch.")
    return dtype if layout == "strided" else f"{layout} {dtype}"
