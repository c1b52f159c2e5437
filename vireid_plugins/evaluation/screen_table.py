"""The table of results in the width of a terminal."""

import re
from collections.abc import Sequence

from tabulate import tabulate

from vireid_plugins.evaluation.results import ProtocolResult, result_cells, result_table
from vireid_plugins.io.output import terminal_width

# What is left out of a table that is too wide, one after the other; "±" are the deviations.
_LEAST = ("CMC", "trials", "Rank-20", "Rank-5", "queries", "Rank-10", "mINP", "±", "features")
_DEVIATION = re.compile(r" ± [\d.]+")


def screen_table(results: Sequence[ProtocolResult], notes: Sequence[str] = ()) -> str:
    """Return the table that standard output is to show: `fitted_table` on a terminal, else `result_table`."""
    width = terminal_width()
    return result_table(results, notes) if width is None else fitted_table(results, width, notes)


def fitted_table(results: Sequence[ProtocolResult], width: int, notes: Sequence[str] = ()) -> str:
    """Return the table of `result_cells` without the columns for which there is no room.

    Args:
        results: one per row.
        width: characters per line; at least the protocol, rank-1, mAP and TPIR are shown, however small it is.
        notes: see `result_cells`.
    """
    headers, rows = result_cells(results, notes)
    table = [headers, *rows]
    left_out = []
    for name in _LEAST:
        if max(map(len, _laid_out(table).splitlines())) <= width:
            break
        if name == "±":
            table = [[_DEVIATION.sub("", cell) for cell in row] for row in table]
            left_out.append("deviations")
        elif name in table[0]:
            at = table[0].index(name)
            table = [row[:at] + row[at + 1 :] for row in table]
            left_out.append(name)
    text = _laid_out(table)
    return f"{text}\nnot shown: {', '.join(left_out)}" if left_out else text


def _laid_out(table: list[list[str]]) -> str:
    return tabulate(table[1:], headers=table[0], tablefmt="simple", disable_numparse=True)
