"""Parquet files of images, in the layout of public data sets: `img` or `image`, and `label`."""

import json
import re
from pathlib import Path
from typing import Any

import numpy as np

from clearsight.data.records import (
    PARTS,
    Records,
    Source,
    check_labels,
    class_labels,
    file_digests,
)
from clearsight.errors import DataError

_IMAGES = ("img", "image")
_LABELS = ("label", "fine_label")


def parquet_files(folder: Path) -> list[Path]:
    """The folder's `.parquet` files, else those of its subfolders (`data/`), sorted."""
    for pattern in ("*.parquet", "*/*.parquet"):
        files = [p for p in folder.glob(pattern) if p.relative_to(folder).parts[0][0] != "."]
        if files:
            return sorted(files)
    return []


def parquet_source(files: list[Path], name: str) -> Source:
    """Parquet files as one data set. The part is told by the file's name: `train-…`, `test-…`,
    `validation-…` (`val-…`, `valid-…`).

    Columns: `img` or `image` (encoded images: binary, or a struct with a field `bytes`), and
    `label` (or `fine_label`): whole numbers into the class names of the schema's metadata, or
    class names.
    """
    digests = file_digests(files)
    return Source(
        name=name,
        fingerprint=json.dumps(
            [[file.name, digest] for file, digest in zip(files, digests, strict=True)]
        ),
        read=lambda: _read(files, name),
    )


def _read(files: list[Path], name: str) -> Records:
    tables = [_table(file) for file in files]
    images = [image for encoded, _, _ in tables for image in encoded]
    values = np.concatenate([labels for _, labels, _ in tables])
    names = {classes for _, _, classes in tables}
    if len(names) > 1:
        raise DataError(
            f"{name}: its parquet files list different class names in their metadata; "
            "give files of one data set"
        )
    starts = np.cumsum([0] + [len(labels) for _, labels, _ in tables])

    def locate(i: int) -> str:
        file = int(np.searchsorted(starts, i, side="right")) - 1
        return f"{files[file]}, row {i - starts[file]}"

    classes = names.pop()
    if classes is None or values.dtype.kind == "U":
        labels, classes = class_labels(values, f"{name}: labels")
    elif values.dtype.kind not in "iu":
        raise DataError(f"{name}: labels are {values.dtype} values, expected whole numbers")
    else:
        labels = values.astype(np.int64)
        check_labels(labels, len(classes), locate)
    parts = np.repeat([_part(file) for file in files], np.diff(starts))
    return Records(images=images, labels=labels, classes=classes, parts=parts, locate=locate)


def _table(file: Path) -> tuple[list[bytes], np.ndarray, tuple[str, ...] | None]:
    """Encoded images, labels and class names (None where the metadata has none) of one file."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        schema = pq.read_schema(file)
        image = next((c for c in _IMAGES if c in schema.names), None)
        label = next((c for c in _LABELS if c in schema.names), None)
        if image is None or label is None:
            raise DataError(
                f"{file}: found the columns {', '.join(schema.names)}, "
                "expected img or image, and label; rename them"
            )
        table = pq.read_table(file, columns=[image, label]).flatten()
    except (pa.ArrowException, OSError) as error:
        raise DataError(
            f"{file}: can't be read as parquet ({error}); replace the file or remove it"
        ) from error
    if image not in table.column_names:
        image = f"{image}.bytes"
    kind = schema.field(image.split(".")[0]).type
    if image not in table.column_names or not pa.types.is_binary(table[image].type):
        raise DataError(
            f"{file}: column {image} is {kind}, "
            "expected encoded images as binary, or a struct with the field bytes"
        )
    for column in (image, label):
        if table[column].null_count:
            row = table[column].is_null().to_pylist().index(True)
            raise DataError(f"{file}, row {row}: column {column} is empty; fill it or drop the row")
    values = np.asarray(table[label].to_pylist())
    return table[image].to_pylist(), values, _class_names(schema.metadata, label)


def _class_names(metadata: dict[bytes, bytes] | None, label: str) -> tuple[str, ...] | None:
    """The names which Hugging Face's `datasets` stores beside the schema."""
    try:
        about: Any = json.loads((metadata or {})[b"huggingface"])
        return tuple(about["info"]["features"][label]["names"])
    except (KeyError, TypeError, ValueError):
        return None


def _part(file: Path) -> str:
    word = re.split(r"[-_.]", file.name.lower())[0]
    return PARTS.get(word, "")
