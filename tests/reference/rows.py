"""Building blocks of the loops over images. Shapes: B rows, D embedding."""

from collections.abc import Iterable, Sequence

from torch import Tensor

Rows = Sequence[int]


def distance(x: Tensor, y: Tensor) -> Tensor:
    """Return the Euclidean distance of two rows (D,), with gradient 0 where they coincide."""
    return (x - y).square().sum().clamp_min(1e-24).sqrt()


def mean(values: Iterable[Tensor]) -> Tensor:
    """Return the mean of numbers, one after the other."""
    found = list(values)
    total = found[0]
    for value in found[1:]:
        total = total + value
    return total / len(found)


def center(x: Tensor, rows: Rows) -> Tensor:
    """Return the mean (D,) of some rows."""
    return mean(x[row] for row in rows)


def rows_of(targets: Tensor, identity: int, among: Iterable[int] | None = None) -> list[int]:
    """Return the rows of an identity, among some rows or all."""
    return [row for row in (range(len(targets)) if among is None else among) if int(targets[row]) == identity]


def identities(targets: Tensor) -> list[int]:
    """Return the different identities."""
    return sorted({int(target) for target in targets})
