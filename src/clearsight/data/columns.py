"""Which column of a table says what: the files of images, their labels, split, groups, weights."""

import re
from collections.abc import Mapping

from clearsight.config.parsing import did_you_mean
from clearsight.data.names import listed, printable
from clearsight.data.tables import Table
from clearsight.errors import DataError

NONE = "none"
"""In place of a column's name: there is no such column, whatever the columns are called."""

# Of each role the names by which its column is recognised; those of a later tuple count only where
# none of an earlier one is there. Case, blanks, hyphens and underscores don't matter.
_NAMES: dict[str, tuple[tuple[str, ...], ...]] = {
    "image": (
        ("image", "file", "filename", "path", "imagename", "imagepath", "filepath"),
        ("id", "imageid"),
    ),
    "label": (("label", "class", "target"),),
    "split": (("split",),),
    "group": (("group",),),
    "weight": (("weight",),),
}
ROLES = tuple(_NAMES)
_REQUIRED = {"image": "image, file, filename, path or id", "label": "label, class or target"}
_MEANING = {
    "image": "image files", "label": "labels", "split": "split", "group": "groups",
    "weight": "weights",
}  # fmt: skip


def find_columns(table: Table, named: Mapping[str, str]) -> dict[str, int]:
    """{role: its column's position} of those of the `ROLES` that the table has.

    `named` gives the columns of some roles by name, `none` for a column that is not to be used; the
    others are recognised. Raises `DataError` where a column is missing or there twice, or where
    several columns could have a role.
    """
    given = {
        role: _named(table, role, name)
        for role, name in named.items()
        if name != NONE or role in _REQUIRED
    }
    found = dict(given)
    for role in ROLES:
        if role not in named:
            free = [n for n in range(len(table.columns)) if n not in given.values()]
            column = _recognised(table, role, free)
            if column is not None:
                found[role] = column
    return {role: found[role] for role in ROLES if role in found}


def _named(table: Table, role: str, name: str) -> int:
    exact = [n for n, column in enumerate(table.columns) if column == name]
    alike = [n for n, column in enumerate(table.columns) if _plain(column) == _plain(name)]
    found = exact or alike
    if not found:
        known = [*map(printable, table.columns)]
        raise DataError(
            f"{printable(table.path)}: has no column {name!r}{did_you_mean(name, known)}, found "
            f"{listed(known, 10)}; correct data.{role}_column"
        )
    return _only(table, role, found)


def _recognised(table: Table, role: str, columns: list[int]) -> int | None:
    """The column of a role by its name, of those at `columns`; None where there is none."""
    for names in _NAMES[role]:
        found = [n for n in columns if _plain(table.columns[n]) in names]
        if found:
            return _only(table, role, found)
    if role in _REQUIRED:
        raise DataError(
            f"{printable(table.path)}: found the columns "
            f"{listed(map(printable, table.columns), 10)}, none of which is called "
            f"{_REQUIRED[role]}; name the column of the {_MEANING[role]} with data.{role}_column"
        )
    return None


def _only(table: Table, role: str, found: list[int]) -> int:
    """The only one of several columns, or a `DataError` that says what to do."""
    if len(found) == 1:
        return found[0]
    names = [printable(table.columns[n]) for n in found]
    if len(set(names)) == 1:
        raise DataError(
            f"{printable(table.path)}: has {len(names)} columns called {names[0]!r}; rename or "
            "remove all but one"
        )
    raise DataError(
        f"{printable(table.path)}: found {len(names)} columns that could hold the "
        f"{_MEANING[role]}, {' and '.join(map(repr, names))}; name the one that does with "
        f"data.{role}_column"
    )


def _plain(name: str) -> str:
    return re.sub(r"[\s_-]+", "", name).casefold()
