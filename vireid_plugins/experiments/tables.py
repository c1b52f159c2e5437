"""Collected scores as Markdown, CSV and LaTeX."""

import csv
import io
from collections.abc import Callable, Sequence

from tabulate import tabulate

from vireid_plugins.escape import escaped
from vireid_plugins.experiments.collect import Row, Value

_LATEX = {
    "\\": r"\textbackslash{}", "&": r"\&", "%": r"\%", "$": r"\$", "#": r"\#", "_": r"\_", "{": r"\{", "}": r"\}",
    "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "<": r"\textless{}", ">": r"\textgreater{}",
}  # fmt: skip
# Attributes of a row that count what its means are over; 0 is left empty.
COUNTS = ("seeds", "splits")
# Ranks of a score among the settings of a protocol.
BEST, SECOND = 0, 1


def markdown(rows: Sequence[Row]) -> str:
    """Return a table in Markdown; one value has no deviation."""
    names = _names(rows)
    columns = [name for name in COUNTS if any(getattr(row, name) for row in rows)]
    cells = [
        [
            *(cell(row.setting), cell(row.protocol)),
            *(str(getattr(row, name) or "") for name in columns),
            *(shown(row.scores.get(name)) for name in names),
        ]
        for row in rows
    ]
    headers = ["setting", "protocol", *columns, *names]
    return tabulate(cells, headers=headers, tablefmt="pipe", disable_numparse=True)


def csv_table(rows: Sequence[Row]) -> str:
    """Return CSV with the mean and the deviation of each score in columns of their own; one value has no deviation."""
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    names = _names(rows)
    columns = [column for name in names for column in (name, f"{name} deviation")]
    writer.writerow(["setting", "protocol", *COUNTS, *columns])
    for row in rows:
        numbers: list[object] = []
        for name in names:
            value = row.scores.get(name)
            numbers += ["" if value is None else value.mean, _deviation(value)]
        writer.writerow([row.setting, row.protocol, *_counts(row), *numbers])
    return stream.getvalue()


def latex(rows: Sequence[Row]) -> str:
    """Return a tabular for the package booktabs: a part per protocol, the best mean bold, the second underlined."""
    names = _names(rows)
    columns = 1 + len(names)
    lines = [r"% \usepackage{booktabs}", rf"\begin{{tabular}}{{l{'c' * len(names)}}}", r"\toprule"]
    lines.append(" & ".join(["Setting", *(latex_text(name) for name in names)]) + r" \\")
    for protocol in dict.fromkeys(row.protocol for row in rows):
        part = [row for row in rows if row.protocol == protocol]
        title = f"{latex_text(protocol)}; {_about(part)}"
        lines += [r"\midrule", rf"\multicolumn{{{columns}}}{{l}}{{\emph{{{title}}}}} \\"]
        for row in part:
            cells = [_emphasized(row.scores.get(name), [one.scores.get(name) for one in part]) for name in names]
            lines.append(" & ".join([latex_text(row.setting), *cells]) + r" \\")
    return "\n".join([*lines, r"\bottomrule", r"\end{tabular}", ""])


# What --format takes.
FORMATS: dict[str, Callable[[Sequence[Row]], str]] = {"markdown": markdown, "csv": csv_table, "latex": latex}


def latex_text(text: str) -> str:
    """Return a text in which LaTeX takes every character for itself."""
    return "".join(_LATEX.get(character, character) for character in escaped(text))


def _about(rows: Sequence[Row]) -> str:
    """Return what the means are over."""
    seeds, splits = ({getattr(row, name) for row in rows} for name in ("seeds", "splits"))
    words = [f"{_range(seeds)} {'seed' if seeds == {1} else 'seeds'}"]
    if splits != {0}:
        words.append(f"{_range(splits)} {'split' if splits == {1} else 'splits'}")
    return ", ".join(words)


def _range(numbers: set[int]) -> str:
    return str(min(numbers)) if len(numbers) == 1 else f"{min(numbers)} to {max(numbers)}"


def _emphasized(value: Value | None, column: Sequence[Value | None]) -> str:
    """Return a cell of LaTeX; scores that print alike share their place."""
    if value is None:
        return "--"
    means = sorted({round(one.mean, 2) for one in column if one is not None}, reverse=True)
    text, place = f"{value.mean:.2f}", means.index(round(value.mean, 2))
    if len(means) > 1 and place == BEST:
        text = rf"\textbf{{{text}}}"
    elif len(means) > 2 and place == SECOND:
        text = rf"\underline{{{text}}}"
    return text if value.deviation is None else rf"{text} $\pm$ {value.deviation:.2f}"


def _names(rows: Sequence[Row]) -> list[str]:
    return list(dict.fromkeys(name for row in rows for name in row.scores))


def _counts(row: Row) -> list[str]:
    return [str(getattr(row, name) or "") for name in COUNTS]


def shown(value: Value | None) -> str:
    """Return a mean and its deviation for people; empty without a value."""
    if value is None:
        return ""
    return f"{value.mean:.2f}" if value.deviation is None else f"{value.mean:.2f} ± {value.deviation:.2f}"


def _deviation(value: Value | None) -> object:
    return "" if value is None or value.deviation is None else value.deviation


def cell(text: str) -> str:
    """Return a text as a cell of a table in Markdown."""
    return escaped(text).replace("|", r"\|")
