"""A CSV text with a header as named values; what is wrong is told with file and line."""

import csv
import io
from collections.abc import Iterator
from pathlib import Path

from vireid_plugins.errors import DataError


class CsvTable:
    """The lines of a text; empty ones are passed over.

    Args:
        file: the file that it is from, for messages.
        text: its content.
        lower: take names of columns in any letter case, as lower case.

    Attributes:
        header: names of the columns; none for an empty text.

    Raises:
        DataError: the header names a column twice, or cannot be read.
    """

    def __init__(self, file: Path, text: str, lower: bool = False) -> None:
        self.file = file
        self._reader = csv.reader(io.StringIO(text, newline=""), strict=True)
        self._lines = self._read()
        names = [name.strip() for name in next(self._lines, [])]
        self.header = [name.lower() for name in names] if lower else names
        twice = next((name for name in self.header if name and self.header.count(name) > 1), "")
        if twice:
            raise DataError(f"{self.where}: the header names '{twice}' twice")

    @property
    def where(self) -> str:
        """The file and the line that was read last, for messages."""
        return f"'{self.file}:{max(1, self._reader.line_num)}'"

    def __iter__(self) -> Iterator[dict[str, str]]:
        """Yield the stripped values of each line by column; columns without a name are left out.

        Raises:
            DataError: a line is none of a table, or has another number of values than the header.
        """
        for cells in self._lines:
            if len(cells) != len(self.header):
                raise DataError(f"{self.where}: it has {len(cells)} values, and the header names {len(self.header)}")
            yield {name: cell.strip() for name, cell in zip(self.header, cells, strict=True) if name}

    def _read(self) -> Iterator[list[str]]:
        try:
            yield from (cells for cells in self._reader if any(cell.strip() for cell in cells))
        except csv.Error as error:
            raise DataError(f"{self.where}: {error}") from None
