"""Corrected labels: a CSV file with the columns `id` and `label`, a row per image."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from clearsight.config.parsing import did_you_mean
from clearsight.data.images import ImageSet
from clearsight.data.names import listed, normalised
from clearsight.errors import DataError, shown
from clearsight.files import read_cells

_COLUMNS = ("id", "label")


@dataclass(frozen=True)
class Corrections:
    """{image id: class} as the file at `path` has it."""

    path: Path
    classes: Mapping[str, str]


def read_corrections(path: Path) -> Corrections:
    """The corrected labels in a CSV file; columns besides `id` and `label` are passed over.

    Raises `DataError` for a missing column, an empty cell or an id twice, `FileError` for a file
    that can't be read.
    """
    rows = read_cells(path)
    if missing := [name for name in _COLUMNS if rows and name not in rows[0]]:
        raise DataError(
            f"{path}: lacks the column {' and '.join(missing)}, found {listed(rows[0], 8)}; give "
            "the file that the page of `clearsight doubt` saves, separated by commas"
        )
    classes: dict[str, str] = {}
    for number, row in enumerate(rows, 2):
        if empty := [name for name in _COLUMNS if not row[name].strip()]:
            raise DataError(f"{path}: row {number} has no {empty[0]}; fill it in or remove the row")
        if row["id"] in classes:
            raise DataError(
                f"{path}: row {number} has the id {shown(row['id'])} for the second time; keep one"
            )
        classes[row["id"]] = normalised(row["label"])
    return Corrections(path, classes)


def relabel(images: ImageSet, corrections: Corrections) -> ImageSet:
    """The images with corrected labels; `source_labels` keeps those that the source gives.

    Raises `DataError` for ids that are not among the images, and for unknown classes.
    """
    known = {name.decode(): position for position, name in enumerate(images.ids.tolist())}
    strange = [name for name in corrections.classes if name not in known]
    if strange:
        raise DataError(
            f"{corrections.path}: {len(strange):,} of its {len(corrections.classes):,} ids are "
            f"not among the images of {images.name}, the first is {shown(strange[0])}; give the "
            "file that was made for this data set"
        )
    numbers = {name: k for k, name in enumerate(images.classes)}
    source = images.uncorrected().labels
    labels = source.copy()
    for name, label in corrections.classes.items():
        if label not in numbers:
            raise DataError(
                f"{corrections.path}: found the label {shown(label)} for the id {name[:12]}…"
                f"{did_you_mean(label, numbers)}, expected one of {listed(images.classes, 10)}"
            )
        labels[known[name]] = numbers[label]
    return replace(images, labels=labels, source_labels=np.asarray(source))
