"""The table of a run of the speed benchmark."""

from collections.abc import Callable, Sequence
from functools import partial
from statistics import median

from shared_parts import markdown

from speed_parts.measure import Measured


def table(results: Sequence[Measured]) -> str:
    """Return one row per measurement, with the ratio to the slowest way of the same task.

    Items per second and the share of the ceiling are columns if any measurement has them.
    """
    medians = {(result.task, result.way): result.median for result in results}
    on_device = any(result.device_peak for result in results)
    columns: dict[str, Callable[[Measured], str]] = {
        "task": lambda r: r.task,
        "way": lambda r: r.way,
        "median s": lambda r: _digits(r.median),
        "spread s": lambda r: f"{_digits(min(r.seconds))} .. {_digits(max(r.seconds))}",
        "runs": lambda r: str(len(r.seconds)),
    }
    if all(result.cpu for result in results):
        columns["CPU s"] = lambda r: _digits(median(r.cpu))
        columns["spread, CPU s"] = lambda r: f"{_digits(min(r.cpu))} .. {_digits(max(r.cpu))}"
    # Ways of one task with the same number of items.
    slowest: dict[tuple[str, int], float] = {}
    for result in results:
        key = (result.task, result.items)
        slowest[key] = max(slowest.get(key, 0.0), result.median)
    if len(slowest) < len(results):
        columns["faster by"] = lambda r: f"{slowest[r.task, r.items] / r.median:.1f} x"
    if any(result.items for result in results):
        columns["per second"] = lambda r: f"{r.items / r.median:.4g}" if r.items else ""
    if any(result.ceiling for result in results):
        columns["of the ceiling"] = lambda r: _share(medians.get((r.task, r.ceiling)), r.median)
    for name in dict.fromkeys(name for result in results for name in result.said):
        columns[name] = partial(_said, name)
    columns["peak GiB"] = lambda r: f"{r.peak / 2**30:.2f}"
    if on_device:
        columns["on the device"] = lambda r: f"{r.device_peak / 2**30:.2f}"
    if any(result.commit for result in results):
        columns["commit"] = lambda r: r.commit
        columns["day"] = lambda r: r.date
    rows = [[column(result) for column in columns.values()] for result in results]
    return markdown.table(rows, list(columns))


def _said(name: str, result: Measured) -> str:
    return f"{result.said[name]:.4g}" if name in result.said else ""


def _digits(seconds: float) -> str:
    return f"{seconds:.3f}" if seconds >= 0.1 else f"{seconds:.2g}"


def _share(ceiling: float | None, median: float) -> str:
    return f"{100 * ceiling / median:.0f} %" if ceiling else ""
