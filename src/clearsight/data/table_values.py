"""What the cells of a table say: labels, parts, groups, weights; one sentence for what they can't.

`values` are the cells of a column as text, one for each row of the table; None where it has no such
column. `rows` are the positions of the rows that are used.
"""

import math
import re
from collections.abc import Mapping, Sequence

from clearsight.data.names import PARTS, class_names, part_of, printable
from clearsight.data.tables import Table
from clearsight.errors import DataError, shown

_NUMBER = re.compile(r"[+-]?[0-9]+(\.[0-9]*)?")


def read_labels(
    table: Table, values: Sequence[str], rows: Sequence[int]
) -> tuple[list[int], tuple[str, ...]]:
    """(the labels of `rows`, 0 … K-1, the names of the K classes).

    Raises `DataError` where some are numbers and some names, for numbers that are not whole or
    written in several ways, and for fewer than two classes.
    """
    first: dict[str, int] = {}
    for row in rows:
        first.setdefault(values[row], row)
    numbers = [value for value in first if _NUMBER.fullmatch(value)]
    if 0 < len(numbers) < len(first):
        name = next(value for value in first if value not in numbers)
        raise DataError(
            f"{printable(table.path)}: the label is a number in {table.line(first[numbers[0]])} "
            f"({numbers[0]}) and a name in {table.line(first[name])} ({shown(name)}); write all "
            "labels as names, or all as whole numbers"
        )
    if numbers:
        names = _number_names(table, first)
        ordered = sorted(first, key=float)
    else:
        place = f"{printable(table.path)}: labels"
        names = dict(zip(first, class_names(first, place), strict=True))
        ordered = sorted(first)
    if len(ordered) < 2:
        raise DataError(
            f"{printable(table.path)}: all of its {len(rows):,} labelled images are of the class "
            f"{shown(ordered[0])}, a classifier needs at least two classes; add images of another"
        )
    index = {value: k for k, value in enumerate(ordered)}
    return [index[values[row]] for row in rows], tuple(names[value] for value in ordered)


def _number_names(table: Table, first: Mapping[str, int]) -> dict[str, str]:
    """The class names of labels that are numbers; `first` has the first row of each."""
    spelt: dict[float, str] = {}
    for value, row in first.items():
        number = float(value)
        if not number.is_integer():
            raise DataError(
                f"{table.place(row)}: found the label {shown(value)}, which is no whole number; "
                "give the classes names or whole numbers"
            )
        other = spelt.setdefault(number, value)
        if other != value:
            raise DataError(
                f"{printable(table.path)}: the same label is {other} in "
                f"{table.line(first[other])} and {value} in {table.line(row)}; write it one way"
            )
    return {value: value.split(".")[0] for value in first}


def read_parts(table: Table, values: Sequence[str] | None) -> list[str]:
    """Of each row `train`, `validation`, `test`, or `""`. Raises `DataError` for other names."""
    if values is None:
        return [""] * table.rows
    known = {value: part_of(value) if value else "" for value in set(values)}
    for row, value in enumerate(values):
        if known[value] is None:
            raise DataError(
                f"{table.place(row)}: found the split {shown(value)}, expected one of "
                f"{', '.join(PARTS)}, or nothing; correct it, or set data.split_column to another "
                "column or to none"
            )
    return [known[value] or "" for value in values]


def read_groups(values: Sequence[str] | None, rows: Sequence[int]) -> list[int] | None:
    """A number for each group, in the order of their names; -1 for an image without one."""
    if values is None:
        return None
    numbers = {name: k for k, name in enumerate(sorted({values[row] for row in rows} - {""}))}
    return [numbers.get(values[row], -1) for row in rows]


def read_weights(table: Table, values: Sequence[str] | None) -> list[float] | None:
    """The weight of each row. Raises `DataError` for what is no number of 0 or more."""
    if values is None:
        return None
    weights = []
    for row, value in enumerate(values):
        try:
            weight = float(value)
        except ValueError:
            weight = math.nan
        if not 0 <= weight < math.inf:
            raise DataError(
                f"{table.place(row)}: found the weight {shown(value)}, expected a number of 0 or "
                "more; correct it, or set data.weight_column to another column or to none"
            )
        weights.append(weight)
    return weights
