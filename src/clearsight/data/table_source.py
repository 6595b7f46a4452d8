"""Labels in a table: a row for each image file, with its class and perhaps split, group, weight."""

import hashlib
import json
import os
import posixpath
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from clearsight.config.parsing import did_you_mean
from clearsight.data.columns import ROLES, find_columns
from clearsight.data.listed_files import Listed, find_listed
from clearsight.data.names import listed, parts_in, printable
from clearsight.data.records import Records, Source, file_stamp
from clearsight.data.table_values import read_groups, read_labels, read_parts, read_weights
from clearsight.data.tables import Table, read_table
from clearsight.errors import ConfigError, DataError, DataNotFoundError, shown
from clearsight.wording import counted


def open_table(
    path: Path, images: str | Path | None, columns: Mapping[str, str] | None
) -> Source | None:
    """`table_source` of an existing path as a user names it; None where it is no table.

    The folder `images` is relative to the working directory, or else to the table's folder. Raises
    `ConfigError` for unknown roles, and for `images` or `columns` of what is no table.
    """
    unknown = [role for role in columns or {} if role not in ROLES]
    if unknown:
        raise ConfigError(
            f"columns: found {shown(unknown[0])}{did_you_mean(str(unknown[0]), ROLES)}, expected "
            f"names of columns for {listed(ROLES, len(ROLES))}"
        )
    table = None if path.is_dir() else read_table(path)
    if table is None:
        refuse_columns(str(path), images, columns)
        return None
    folder = images_folder(path, images)
    if not folder.is_dir():
        raise DataNotFoundError(
            f"data.images: there is no folder {printable(str(images))}, neither in the working "
            f"directory nor beside {printable(path)}; name the folder of the images"
        )
    return table_source(table, folder, columns or {})


def images_folder(table: Path, images: str | Path | None) -> Path:
    """The folder that the files of a table are relative to; it may not exist."""
    if images is None:
        return table.parent
    given = Path(images).expanduser()
    return given if given.is_dir() else table.parent / given


def refuse_columns(
    source: str, images: str | Path | None, columns: Mapping[str, str] | None
) -> None:
    """Raises `ConfigError` where `images` or `columns` are given for a source that is no table."""
    if images is None and not columns:
        return
    field = "images" if images is not None else f"{next(iter(columns or {}))}_column"
    raise ConfigError(
        f"data.{field}: {printable(source)} is not a table that lists image files; leave it out, "
        "or name a .csv, .tsv, .jsonl or .parquet file as the data"
    )


def table_source(table: Table, folder: Path, columns: Mapping[str, str]) -> Source:
    """The image files that a table lists, as a data set.

    They are relative to `folder`, and found as `find_listed` says. `columns` names the columns of
    `ROLES` that are not recognised by their own names.

    - labels: class names, sorted as text, or whole numbers, sorted as numbers; not both. A row
      without one is left out
    - split: a usual name of `train`, `validation` or `test` (`names.part_of`), or nothing
    - group: images of one group stay on one side of a split; nothing for an image without a group
    - weight: of the image in the training loss, 0 or more

    Rows without a file, rows twice, and files that no row lists are left out and noted. The
    fingerprint is over what is used of the table and each file's path and `file_stamp`.

    Raises `DataError` for columns that can't be told, for values that mean nothing, and for a file
    that rows say different things of.
    """
    found = find_columns(table, columns)
    values = {role: table.texts(column) for role, column in found.items()}
    _check_filled(table, values["image"], found["image"])
    parts = read_parts(table, values.get("split"))
    weights = read_weights(table, values.get("weight"))
    kept, matched, notes = _rows(table, folder, values, parts)
    labels, classes = read_labels(table, values["label"], kept)
    listing = _Listing(
        table=table,
        folder=folder,
        rows=kept,
        files=[file for row in kept if (file := matched.files[row]) is not None],
        labels=labels,
        classes=classes,
        parts=[parts[row] for row in kept],
        groups=read_groups(values.get("group"), kept),
        weights=None if weights is None else [weights[row] for row in kept],
    )
    told = ", ".join(f"{role} {printable(table.columns[n])!r}" for role, n in found.items())
    return Source(
        name=printable(table.path.stem),
        fingerprint=listing.fingerprint(),
        read=listing.records,
        notes=(f"columns of {printable(table.path.name)}: {told}", *notes, *_remarks(listing)),
    )


@dataclass(frozen=True, kw_only=True)
class _Listing:
    """The rows of a table that are used, N of them; `rows` are their positions in it."""

    table: Table
    folder: Path
    rows: list[int]
    files: list[str]
    labels: list[int]
    classes: tuple[str, ...]
    parts: list[str]
    groups: list[int] | None
    weights: list[float] | None

    def fingerprint(self) -> str:
        content = [
            str(self.folder.resolve()), self.files, self.labels, self.classes, self.parts,
            self.groups, self.weights, [self._stamp(i) for i in range(len(self.files))],
        ]  # fmt: skip
        return hashlib.sha256(json.dumps(content, ensure_ascii=True).encode()).hexdigest()

    def _stamp(self, i: int) -> tuple[int, ...]:
        try:
            return file_stamp((self.folder / self.files[i]).stat())
        except OSError as error:
            raise DataError(
                f"{self.locate(i)}: can't be read ({error.strerror or error}); check the file"
            ) from error

    def records(self) -> Records:
        return Records(
            images=[self.folder / file for file in self.files],
            labels=np.array(self.labels, np.int64),
            classes=self.classes,
            parts=np.array(self.parts, "U10"),
            locate=self.locate,
            files=self.files,
            groups=None if self.groups is None else np.array(self.groups, np.int64),
            weights=None if self.weights is None else np.array(self.weights, np.float64),
        )

    def locate(self, i: int) -> str:
        shown_file = printable(self.folder / self.files[i])
        return f"{shown_file} ({self.table.path.name}, {self.table.line(self.rows[i])})"


def _check_filled(table: Table, names: Sequence[str], column: int) -> None:
    if "" in names:
        raise DataError(
            f"{table.place(names.index(''))}: column {printable(table.columns[column])!r} names no "
            "file; fill it or remove the row"
        )


def _rows(
    table: Table, folder: Path, values: Mapping[str, Sequence[str]], parts: Sequence[str]
) -> tuple[list[int], Listed, list[str]]:
    """(the rows to use, the files of all, notes on what is left out)."""
    names, labels = values["image"], values["label"]

    def named(row: int) -> str:
        return f"{printable(names[row])} ({table.line(row)})"

    part_told = _part_told_by(table.path)
    matched = find_listed(folder, names, [part or part_told for part in parts], table.place)
    first: dict[str, int] = {}
    missing, twice, unlabelled, kept = [], [], [], []
    for row, file in enumerate(matched.files):
        if file is None:
            missing.append(row)
        elif file in first:
            _check_same(table, values, first[file], row)
            twice.append(row)
        else:
            first[file] = row
            (kept if labels[row] else unlabelled).append(row)
    if not first:
        raise DataError(
            f"{printable(table.path)}: none of its {table.rows:,} files is in {printable(folder)}, "
            f"not {shown(names[0])} nor any other; name the folder of the images with data.images"
        )
    if not kept:
        raise DataError(
            f"{printable(table.path)}: none of its {table.rows:,} images has a label; fill in the "
            "column of the labels, or name another one with data.label_column"
        )

    completed = [f"{n:,} in {printable(at) or './'}" for at, n in sorted(matched.completed.items())]
    outside = [file for file in first if _leads_out(file)]
    notes = {
        "file names were completed": [listed(completed)] if completed else [],
        f"outside of {printable(folder)}": _counted("image", map(printable, outside)),
        "left out (no such file)": _counted("row", map(named, missing)),
        "left out (no label)": _counted("image", map(named, unlabelled)),
        "listed again, used once": _counted("row", map(named, twice)),
        "left out (not in the table)": _counted("image", map(printable, matched.others)),
    }
    told = [f"{what}: {', '.join(found)}" for what, found in notes.items() if found]
    return kept, matched, told


def _counted(thing: str, names: Iterable[str]) -> list[str]:
    """`2 rows: a.png (line 3), b.png (line 7)` as a list; empty where there are none."""
    names = list(names)
    return [f"{counted(len(names), thing)}: {listed(names)}"] if names else []


def _check_same(table: Table, values: Mapping[str, Sequence[str]], first: int, again: int) -> None:
    """Refuses two rows of one file that say different things of it."""
    for role, cells in values.items():
        if role != "image" and cells[first] != cells[again]:
            raise DataError(
                f"{printable(table.path)}: {printable(values['image'][again])} has the {role} "
                f"{shown(cells[first])} in {table.line(first)} and {shown(cells[again])} in "
                f"{table.line(again)}; keep one of the rows"
            )


def _part_told_by(path: Path) -> str:
    """The part that a table's own name tells: `train.csv`, `trainLabels.csv`."""
    told = parts_in(re.sub(r"(?<=[a-z])(?=[A-Z])", "_", path.stem))
    return told.pop() if len(told) == 1 else ""


def _remarks(listing: _Listing) -> Iterator[str]:
    """On weights, and on files that lie in the folder of another class than they are given."""
    if listing.weights is not None:
        low, high = min(listing.weights), max(listing.weights)
        yield (
            f"weights from {low:g} to {high:g} multiply the training loss of the images"
            if low < high
            else f"all images have the weight {low:g}, which is as if they had none"
        )
    folders = [posixpath.basename(posixpath.dirname(file)) for file in listing.files]
    if not set(folders) <= set(listing.classes):
        return
    labels = [listing.classes[label] for label in listing.labels]
    other = [i for i, (folder, label) in enumerate(zip(folders, labels, strict=True))
             if folder != label]  # fmt: skip
    if other:
        named = listed(f"{printable(listing.files[i])} is {labels[i]}" for i in other)
        yield (
            f"{len(other):,} of {len(folders):,} images are in the folder of another class than "
            f"the table gives them: {named}"
        )


def _leads_out(file: str) -> bool:
    return os.path.isabs(file)  # noqa: PTH117 - text, thousands of times
