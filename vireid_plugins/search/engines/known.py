"""How many images a gallery has, and which cameras, times and columns they have, to filter by."""

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, NamedTuple

from vireid_plugins.io.moment import written

if TYPE_CHECKING:
    from vireid_plugins.search.engines.base import Record


class Known(NamedTuple):
    """What there is to search, and to filter by.

    Attributes:
        counts: number of images of each modality, visible and infrared.
        cameras: names of the cameras, sorted.
        columns: names of the columns of your own, sorted.
        times: the first and the last time, in seconds since 1970 UTC; empty if no image has one.
    """

    counts: tuple[int, int]
    cameras: list[str]
    columns: list[str]
    times: tuple[float, ...]

    @classmethod
    def of(cls, records: "Iterable[Record]") -> "Known":
        """Return what some records know."""
        cameras: set[str] = set()
        columns: set[str] = set()
        times: set[float] = set()
        counts = [0, 0]
        for one in records:
            counts[one.modality] += 1
            cameras.add(one.camera)
            columns.update(one.extra)
            if one.time is not None:
                times = {one.time} if not times else {min(*times, one.time), max(*times, one.time)}
        return cls(
            (counts[0], counts[1]), sorted(cameras - {""}), sorted(columns), (min(times), max(times)) if times else ()
        )

    def listed(self, shown: int = 10) -> str:
        """Return what there is to filter by as a sentence, with at most so many cameras."""
        more = ", ..." if len(self.cameras) > shown else ""
        parts = [f"it has {self.counts[0]} visible and {self.counts[1]} infrared images"]
        parts.append(f"its cameras are {', '.join(self.cameras[:shown])}{more}" if self.cameras else "no cameras")
        parts.append(f"its times are from {' to '.join(map(written, self.times))}" if self.times else "no times")
        parts.append(f"and its columns {', '.join(self.columns)}" if self.columns else "and no columns of your own")
        return ", ".join(parts)

    def as_json(self) -> dict[str, Any]:
        """Return what there is to filter by in words."""
        return {"cameras": self.cameras, "columns": self.columns, "times": [written(time) for time in self.times]}
