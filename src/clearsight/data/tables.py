"""Tables as they come: CSV, TSV, JSON Lines and parquet files, each read by one function.

Nothing is interpreted here but what a cell's text is; `columns` and `table_source` say what it
means.
"""

import csv
import io
import json
import math
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from clearsight.data.names import normalised, printable
from clearsight.data.parquet import columns_without_images
from clearsight.errors import DataError, FileError, first_line, shown
from clearsight.files import read_text


@dataclass(frozen=True, kw_only=True)
class Table:
    """A table of `rows` rows.

    - `columns`: the names of its columns, in order, as they are in the file
    - `cells`: gives a column's cells, by its position in `columns`
    - `line`: row i, from 0, as messages name it: `line 2`
    """

    path: Path
    columns: tuple[str, ...]
    rows: int
    cells: Callable[[int], Sequence[Any]]
    line: Callable[[int], str]

    def texts(self, column: int) -> list[str]:
        """A column's cells as text without blanks at its ends, in Unicode's normal form C.

        `""` where there is no value. Raises `DataError` for what is neither text nor a number.
        """
        return [self._text(cell, column, row) for row, cell in enumerate(self.cells(column))]

    def _text(self, cell: object, column: int, row: int) -> str:
        if isinstance(cell, str):
            return normalised(cell)
        if cell is None or (isinstance(cell, float) and math.isnan(cell)):
            return ""
        if isinstance(cell, bool):
            return str(cell).lower()
        if isinstance(cell, int | float):
            return str(cell)
        raise DataError(
            f"{self.place(row)}: column {printable(self.columns[column])!r} holds {shown(cell)}, "
            "expected text or a number"
        )

    def place(self, row: int) -> str:
        """Row `row`, from 0, as errors begin: `labels.csv, line 2`."""
        return f"{printable(self.path)}, {self.line(row)}"


def read_table(path: Path) -> Table | None:
    """The table in a file, by the file's suffix; None where it is no table, but has another reader.

    Raises `DataError` for a table that can't be read, or has no rows.
    """
    read = _READERS.get(path.suffix.lower())
    table = read(path) if read else None
    if table is not None and not table.rows:
        raise DataError(
            f"{printable(path)}: has no rows; give a table with a row for each image, below the "
            "names of its columns"
        )
    return table


def is_table(source: str) -> bool:
    """Whether `source`, a name or a path, may be a table, by its suffix."""
    return Path(source).suffix.lower() in _READERS


def _read_delimited(path: Path) -> Table:
    """Cells between commas, semicolons or tabs, whichever the first line has most of."""
    text = _text_of(path).lstrip("\r\n")
    header = re.split(r"[\r\n]", text, maxsplit=1)[0]
    delimiter = max(",", ";", "\t", key=header.count)
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    rows, lines = [], []
    try:
        for row in reader:
            if row:  # a blank line has none
                rows.append(row)
                lines.append(reader.line_num)
    except csv.Error as error:
        raise DataError(
            f"{printable(path)}, line {reader.line_num}: can't be read as cells separated by "
            f"{_DELIMITERS[delimiter]} ({error}); correct the line"
        ) from error
    columns = tuple(rows[0]) if rows else ()
    for row, line in zip(rows, lines, strict=True):
        if len(row) != len(columns):
            raise DataError(
                f"{printable(path)}, line {line}: found {len(row):,} cells separated by "
                f"{_DELIMITERS[delimiter]}, the first line has {len(columns):,}; correct the line, "
                "or put cells that contain the separator in quotes"
            )
    return Table(
        path=path,
        columns=columns,
        rows=max(0, len(rows) - 1),
        cells=lambda column: [row[column] for row in rows[1:]],
        line=lambda i: f"line {lines[i + 1]}",
    )


def _read_json_lines(path: Path) -> Table:
    """A JSON object a line; a key that an object lacks is an empty cell."""
    rows, lines = [], []
    for number, line in enumerate(_text_of(path).split("\n"), 1):
        if not line.strip():
            continue
        place = f"{printable(path)}, line {number}"
        try:
            value = json.loads(line, object_pairs_hook=_once)
        except (ValueError, RecursionError) as error:
            raise DataError(f"{place}: invalid JSON ({first_line(error)}); correct it") from error
        if not isinstance(value, dict):
            raise DataError(
                f"{place}: found {shown(value)}, expected a JSON object on each line, such as "
                '{"file": "1.png", "label": "cat"}'
            )
        rows.append(value)
        lines.append(number)
    columns = tuple(dict.fromkeys(name for row in rows for name in row))
    return Table(
        path=path,
        columns=columns,
        rows=len(rows),
        cells=lambda column: [row.get(columns[column]) for row in rows],
        line=lambda i: f"line {lines[i]}",
    )


def _read_parquet(path: Path) -> Table | None:
    """None for a file that holds the images themselves."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    columns = columns_without_images(path)
    if columns is None:
        return None

    def cells(column: int) -> list[Any]:
        try:
            read = pq.read_table(path, columns=[columns[column]], partitioning=None)
            return read[0].to_pylist()
        except (pa.ArrowException, OSError, ValueError, MemoryError) as error:
            raise DataError(
                f"{printable(path)}: can't be read as parquet ({printable(first_line(error))}); "
                "replace the file or remove it"
            ) from error

    rows = pq.read_metadata(path).num_rows
    return Table(path=path, columns=columns, rows=rows, cells=cells, line=lambda i: f"row {i}")


_READERS: dict[str, Callable[[Path], Table | None]] = {
    ".csv": _read_delimited,
    ".tsv": _read_delimited,
    ".jsonl": _read_json_lines,
    ".parquet": _read_parquet,
}
_DELIMITERS = {",": "commas", ";": "semicolons", "\t": "tabs"}


def _text_of(path: Path) -> str:
    try:
        return read_text(path)
    except FileError as error:
        raise DataError(str(error)) from error


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"the key {shown(twice)} twice")
    return found
