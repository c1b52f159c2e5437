"""Match the tensors of a file with those of a module, and describe what does not fit."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from torch import Tensor

# Number of names that a message lists.
LISTED = 3
# Older files lack it, and evaluation does not use it.
COUNTER = "num_batches_tracked"


@dataclass(frozen=True)
class Fit:
    """How the tensors of a file fit a module.

    Attributes:
        fitting: the file's tensors whose names and shapes match.
        total: number of tensors in the module.
        missing: names in the module that the file lacks, except the counters of batch norms.
        shapes: by common name, the shapes in the file and in the module where they differ.
        unused: names in the file that the module lacks.
    """

    fitting: dict[str, Tensor]
    total: int
    missing: tuple[str, ...]
    shapes: dict[str, tuple[tuple[int, ...], tuple[int, ...]]]
    unused: tuple[str, ...]

    @property
    def unfilled(self) -> tuple[str, ...]:
        """Names of the tensors that keep their initial values."""
        return (*self.missing, *self.shapes)

    def __str__(self) -> str:
        """Describe in one sentence what fits and what does not."""
        parts = [f"{len(self.fitting)} of {self.total} tensors fit"]
        if self.missing:
            parts.append(f"{len(self.missing)} are missing: {listed(self.missing)}")
        if self.shapes:
            name, (in_file, in_module) = next(iter(self.shapes.items()))
            first = f"{name}, {in_file} in the file and {in_module} here"
            parts.append(f"{len(self.shapes)} have another shape, the first: {first}")
        if self.unused:
            parts.append(f"{len(self.unused)} in the file have no counterpart: {listed(self.unused)}")
        return "; ".join(parts)


def fit(own: Mapping[str, Tensor], given: Mapping[str, Tensor]) -> Fit:
    """Compare the tensors of a module with those of a file.

    Args:
        own: the module's state dict.
        given: the file's tensors by the module's names.
    """
    shapes = {name: (tuple(given[name].shape), tuple(value.shape)) for name, value in own.items() if name in given}
    return Fit(
        {name: given[name] for name, (in_file, in_module) in shapes.items() if in_file == in_module},
        len(own),
        tuple(name for name in own if name not in given and not name.endswith(COUNTER)),
        {name: pair for name, pair in shapes.items() if pair[0] != pair[1]},
        tuple(name for name in given if name not in own),
    )


def listed(names: Sequence[str]) -> str:
    """Join the first names, with an ellipsis if there are more."""
    return ", ".join(names[:LISTED]) + (", ..." if len(names) > LISTED else "")
