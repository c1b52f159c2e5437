"""Markdown tables."""

from collections.abc import Sequence

from tabulate import tabulate


def table(rows: Sequence[Sequence[object]], headers: Sequence[str]) -> str:
    """Return a Markdown table whose cells are printed as they are."""
    return tabulate(rows, headers=headers, tablefmt="pipe", disable_numparse=True)
