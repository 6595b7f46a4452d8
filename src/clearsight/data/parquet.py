"""Parquet files of images, in the layout of public data sets: `img` or `image`, and `label`."""

import json
from collections.abc import Iterator, Sequence
from pathlib import Path, PurePath
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from clearsight.data.names import LONGEST, class_names, listed, parts_in, printable
from clearsight.data.records import Records, Source, check_labels, class_labels, file_digests
from clearsight.data.walking import Kind, Passed, join, subfolders, walk
from clearsight.errors import DataError

if TYPE_CHECKING:
    import pyarrow as pa

_IMAGES = ("img", "image")
_LABELS = ("label", "fine_label")
_SUFFIX = ".parquet"
_UNLABELLED = -1  # as Hugging Face's `datasets` has it


def parquet_folder(folder: Path) -> Source | None:
    """The parquet files in a folder and below it as one data set; None where it holds none.

    What a run wrote is no data set: run folders are not looked into, and files of predictions are
    left out. Neither are files without an image column, where there are images in class folders.
    Raises `DataError` for files of several configurations (`default/` and `other/` side by side).
    """
    passed = Passed()
    images = sum(1 for name in subfolders(folder, "", passed) for _ in walk(folder, name, passed))
    found = sorted(n for n in passed.names[Kind.OTHER] if n.lower().endswith(_SUFFIX))
    schemas = {name: _schema(folder / name) for name in found if (folder / name).is_file()}
    predictions = [name for name, schema in schemas.items() if schema and _is_predictions(schema)]
    files = [name for name in schemas if name not in predictions]
    if not files or (images and all((s := schemas[n]) and not _image_column(s) for n in files)):
        return None
    notes = [
        f"left out ({what}): {listed(map(printable, names))}"
        for what, names in (
            ("predictions of a run", predictions),
            (Kind.OWN, passed.names[Kind.OWN]),
        )
        if names
    ]
    if images:
        notes.append(f"{images:,} image files beside the parquet files, NOT USED")
    name = printable(folder.resolve().name)
    return parquet_source([folder / file for file in files], name, root=folder, notes=notes)


def parquet_source(
    files: Sequence[Path],
    name: str,
    *,
    root: Path | None = None,
    classes: tuple[str, ...] | None = None,
    notes: Sequence[str] = (),
) -> Source:
    """Parquet files as one data set. The part is told by the name of the file, or of a folder
    between `root` and it: `train-00000-of-00002.parquet`, `default/test/0000.parquet`.

    Columns: `img` or `image` (encoded images: binary, or a struct with a field `bytes`), and
    `label` (or `fine_label`): whole numbers into the class names of the schema's metadata, else
    into `classes`, or class names. Of labels with class names, -1 says that an
    image has none: it is left out. Raises `DataError` where some files name a part and others none.
    """
    within = [file.relative_to(root) if root else PurePath(file.name) for file in files]
    parts = [_part(path, printable(file)) for path, file in zip(within, files, strict=True)]
    _check_layout(printable(root or name), within, parts)
    content = [[str(p), *told] for p, *told in zip(within, parts, file_digests(files), strict=True)]
    return Source(
        name=name,
        fingerprint=json.dumps([content, classes] if classes else content),
        read=lambda: _read(files, within, parts, name, classes),
        notes=tuple(notes),
    )


def columns_without_images(file: Path) -> tuple[str, ...] | None:
    """The columns of a parquet file that names image files instead of holding images.

    None where it holds encoded images or can't be read: `parquet_source` reads it, or says what is
    wrong.
    """
    schema = _schema(file) if file.is_file() else None  # opening a pipe could wait for ever
    if schema is None or any(f.name in _IMAGES and not _is_text(f.type) for f in schema):
        return None
    return tuple(schema.names)


def _check_layout(place: str, within: Sequence[PurePath], parts: Sequence[str]) -> None:
    configurations = {tuple(f for f in path.parts[:-1] if not parts_in(f)): "" for path in within}
    if len(configurations) > 1:
        named = listed(printable(join("/".join(folders), "")) or "./" for folders in configurations)
        raise DataError(
            f"{place}: found parquet files of several data sets, in {named}; "
            "name one of these folders as the source"
        )
    if any(parts) and not all(parts):
        unknown = within[parts.index("")]
        raise DataError(
            f"{place}: can't tell the part of {printable(unknown)} from its path, but other files "
            "name one; rename it after train, validation or test, or remove it"
        )


def _part(within: PurePath, file: str) -> str:
    """The part that a file's name or its folders' names mention, "" for none."""
    told = {part for name in (within.name.lower().removesuffix(_SUFFIX), *within.parts[:-1])
            for part in parts_in(name)}  # fmt: skip
    if len(told) > 1:
        raise DataError(
            f"{file}: its path names both {' and '.join(sorted(told))}; rename it after one part"
        )
    return told.pop() if told else ""


def _read(
    files: Sequence[Path],
    within: Sequence[PurePath],
    file_parts: Sequence[str],
    name: str,
    default: tuple[str, ...] | None,
) -> Records:
    tables = [_table(file) for file in files]
    images = [image for table in tables for image in table.images]
    if len({table.labels.dtype.kind for table in tables}) > 1:
        raise DataError(
            f"{name}: some of its parquet files have whole numbers as labels and some have class "
            "names; give files of one data set"
        )
    values = np.concatenate([table.labels for table in tables])
    names = {table.classes for table in tables}
    if len(names) > 1:
        raise DataError(
            f"{name}: its parquet files list different class names in their metadata; "
            "give files of one data set"
        )
    starts = np.cumsum([0] + [len(table.labels) for table in tables])

    def locate(i: int) -> str:
        file = int(np.searchsorted(starts, i, side="right")) - 1
        return f"{printable(files[file])}, row {i - starts[file]}"

    own_names = [
        path or f"{file}, row {row}"
        for file, table in zip(within, tables, strict=True)
        for row, path in enumerate(table.paths)
    ]

    classes = names.pop() or default
    kept = np.arange(len(values))
    if classes is None or values.dtype.kind == "U":
        labels, distinct = class_labels(values, f"{name}: labels")
        classes = class_names(distinct, f"{name}: labels")
    else:
        kept = np.flatnonzero(values != _UNLABELLED)
        if not len(kept):
            raise DataError(
                f"{name}: none of its {len(values):,} rows has a label (all are {_UNLABELLED}); "
                "give data with labels"
            )
        labels = values[kept]
        check_labels(labels, len(classes), lambda i: locate(int(kept[i])))
    parts = np.repeat(np.array(file_parts, "U10"), np.diff(starts))
    return Records(
        images=[images[i] for i in kept],
        labels=labels,
        classes=classes,
        parts=parts[kept],
        locate=lambda i: locate(int(kept[i])),
        files=[own_names[i] for i in kept],
        notes=tuple(_unlabelled(parts, values) if len(kept) < len(values) else ()),
    )


def _unlabelled(parts: np.ndarray, values: np.ndarray) -> Iterator[str]:
    without = values == _UNLABELLED
    counts = [(part, int(without[parts == part].sum())) for part in dict.fromkeys(parts.tolist())]
    told = ", ".join(f"{n:,} of {part or 'the rows'}" for part, n in counts if n)
    yield f"left out (label {_UNLABELLED}: without a label): {told}"


class _Table(NamedTuple):
    """What one file holds of N images.

    - `images`: encoded; `paths`: the file that each was made of, `""` where that is not said
    - `labels`: int64 or text [N]; `classes`: their names, None without
    """

    images: list[bytes]
    paths: list[str]
    labels: np.ndarray
    classes: tuple[str, ...] | None


def _table(file: Path) -> _Table:
    import pyarrow as pa
    import pyarrow.parquet as pq

    place = printable(file)
    try:
        schema = pq.read_schema(file)
        image = _image_column(schema)
        label = next((c for c in _LABELS if c in schema.names), None)
        if image is None or label is None:
            raise DataError(
                f"{place}: found the columns {listed(map(printable, schema.names), 10)}, "
                "expected img or image, and label; rename them"
            )
        for column in (image, label):
            if schema.names.count(column) > 1:
                raise DataError(f"{place}: found the column {column} twice; drop one")
        table = pq.read_table(file, columns=[image, label], partitioning=None)
        encoded, paths = _encoded(table[image], image, place), _paths(table[image])
        values = _values(table[label], label, place)
    # What pyarrow raises on damaged files: its own errors, and Python's on text that is no UTF-8.
    except (pa.ArrowException, OSError, ValueError, KeyError, TypeError, MemoryError) as error:
        raise DataError(
            f"{place}: can't be read as parquet ({printable(str(error))[:200]}); "
            "replace the file or remove it"
        ) from error
    return _Table(encoded, paths, values, _class_names(schema.metadata, label, place))


def _encoded(column: "pa.ChunkedArray", name: str, place: str) -> list[bytes]:
    import pyarrow as pa

    kind = column.type
    if pa.types.is_struct(kind) and kind.get_field_index("bytes") >= 0:
        name, column = f"{name}.bytes", column.flatten()[kind.get_field_index("bytes")]
    column = _decoded(column)
    if not (
        pa.types.is_binary(column.type)
        or pa.types.is_large_binary(column.type)
        or pa.types.is_binary_view(column.type)
        or pa.types.is_fixed_size_binary(column.type)
    ):
        raise DataError(
            f"{place}: column {name} is {kind}, "
            "expected encoded images as binary, or a struct with the field bytes"
        )
    _check_filled(column, name, place)
    return column.to_pylist()


def _paths(column: "pa.ChunkedArray") -> list[str]:
    """The field `path` beside the field `bytes`, as Hugging Face's `datasets` writes it."""
    import pyarrow as pa

    kind = column.type
    at = kind.get_field_index("path") if pa.types.is_struct(kind) else -1
    if at < 0 or not pa.types.is_string(kind.field(at).type):
        return [""] * len(column)
    return [path or "" for path in column.flatten()[at].to_pylist()]


def _values(column: "pa.ChunkedArray", name: str, place: str) -> np.ndarray:
    import pyarrow as pa

    column = _decoded(column)
    _check_filled(column, name, place)
    if pa.types.is_integer(column.type):
        return column.cast(pa.int64()).to_numpy()
    if not _is_text(column.type):
        raise DataError(
            f"{place}: column {name} is {column.type}, expected whole numbers or class names"
        )
    longest = max(map(len, column.cast(pa.large_string()).unique().to_pylist()), default=0)
    if longest > LONGEST:
        raise DataError(
            f"{place}: column {name}: found a class name of {longest:,} characters, over the limit "
            f"of {LONGEST}; shorten it"
        )
    return np.array(column.to_pylist(), np.str_)


def _is_text(kind: "pa.DataType") -> bool:
    import pyarrow as pa

    kind = kind.value_type if pa.types.is_dictionary(kind) else kind
    return (
        pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind)
    )


def _decoded(column: "pa.ChunkedArray") -> "pa.ChunkedArray":
    import pyarrow as pa

    is_dictionary = pa.types.is_dictionary(column.type)
    return column.cast(column.type.value_type) if is_dictionary else column


def _check_filled(column: "pa.ChunkedArray", name: str, place: str) -> None:
    if column.null_count:
        row = column.is_null().to_pylist().index(True)
        raise DataError(f"{place}, row {row}: column {name} is empty; fill it or drop the row")


def _class_names(
    metadata: dict[bytes, bytes] | None, label: str, place: str
) -> tuple[str, ...] | None:
    """The names which Hugging Face's `datasets` stores beside the schema."""
    stored = (metadata or {}).get(b"huggingface")
    if stored is None:
        return None
    try:
        names: Any = json.loads(stored)
    except (ValueError, RecursionError) as error:
        raise DataError(
            f"{place}: its metadata (huggingface) is invalid JSON; write the file again"
        ) from error
    for key in ("info", "features", label, "names"):
        names = names.get(key) if isinstance(names, dict) else None
    if names is None:
        return None
    if not isinstance(names, list):
        raise DataError(
            f"{place}: the class names in its metadata are {type(names).__name__}, expected a list"
        )
    return class_names(names, f"{place}: class names in its metadata")


def _schema(file: Path) -> "pa.Schema | None":
    """The columns of a parquet file; None where it can't be read."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    if not file.is_file():  # opening a pipe would wait for its other end
        return None
    try:
        return pq.read_schema(file)
    except (pa.ArrowException, OSError, ValueError):
        return None


def _image_column(schema: "pa.Schema") -> str | None:
    return next((name for name in _IMAGES if name in schema.names), None)


def _is_predictions(schema: "pa.Schema") -> bool:
    """Whether these are the columns of a run's predictions: `id`, `label`, `p_<class>` …"""
    id_, label, *others = [*schema.names, "", ""]
    probabilities = [name for name in others if name]
    return (id_, label) == ("id", "label") and all(n.startswith("p_") for n in probabilities)
