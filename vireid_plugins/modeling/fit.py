"""Which tensors of a file fill a module, and the words for those that do not."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from torch import Tensor

# Names that a message lists before it only counts.
LISTED = 3
# Older files lack it, and evaluation does not read it.
COUNTER = "num_batches_tracked"


@dataclass(frozen=True)
class Fit:
    """What of a file fits a module.

    Attributes:
        fitting: tensors by name, whose names and shapes are the module's.
        total: how many tensors the module has.
        missing: names of the module that the file lacks, but for the counters of batch norms.
        shapes: names of both whose shapes differ: the file's and the module's.
        unused: names of the file that the module lacks.
    """

    fitting: dict[str, Tensor]
    total: int
    missing: tuple[str, ...]
    shapes: dict[str, tuple[tuple[int, ...], tuple[int, ...]]]
    unused: tuple[str, ...]

    @property
    def unfilled(self) -> tuple[str, ...]:
        """The names that are left as they are initialized."""
        return (*self.missing, *self.shapes)

    def __str__(self) -> str:
        """Say in one sentence what fits and what does not."""
        parts = [f"{len(self.fitting)} of {self.total} tensors fit"]
        if self.missing:
            parts.append(f"{len(self.missing)} are missing: {listed(self.missing)}")
        if self.shapes:
            name, (there, here) = next(iter(self.shapes.items()))
            first = f"{name}, {there} in the file and {here} here"
            parts.append(f"{len(self.shapes)} have another shape, the first: {first}")
        if self.unused:
            parts.append(f"{len(self.unused)} of the file have no place: {listed(self.unused)}")
        return "; ".join(parts)


def fit(own: Mapping[str, Tensor], given: Mapping[str, Tensor]) -> Fit:
    """Compare the tensors of a module with those of a file.

    Args:
        own: the module's state dict.
        given: the file's tensors by the module's names.
    """
    shapes = {name: (tuple(given[name].shape), tuple(value.shape)) for name, value in own.items() if name in given}
    return Fit(
        {name: given[name] for name, (there, here) in shapes.items() if there == here},
        len(own),
        tuple(name for name in own if name not in given and not name.endswith(COUNTER)),
        {name: pair for name, pair in shapes.items() if pair[0] != pair[1]},
        tuple(name for name in given if name not in own),
    )


def listed(names: Sequence[str]) -> str:
    """Return the first names, and dots where there are more."""
    return ", ".join(names[:LISTED]) + (", ..." if len(names) > LISTED else "")
