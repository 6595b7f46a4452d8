"""`predictions.parquet`: what the model said of every measured image."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from clearsight.data.names import as_utf8
from clearsight.errors import FileError, RunError, UsageError
from clearsight.files import check_regular, replacing

_KINDS = {"id": pa.types.is_string, "file": pa.types.is_string, "label": pa.types.is_int64}


@dataclass(frozen=True, kw_only=True)
class Predictions:
    """One row per image, in the order measured.

    - `ids`: text [N], as `ImageSet.ids`
    - `files`: text [N], the source's own name of each image; `""` where it is not known
    - `labels`: int64 [N], the true classes, 0 … K-1
    - `probabilities`: float32 [N, K]
    - `classes`: K names
    """

    ids: np.ndarray
    files: np.ndarray
    labels: np.ndarray
    probabilities: np.ndarray
    classes: tuple[str, ...]

    def mistakes(self) -> np.ndarray:
        """int64 [M]: the rows that are predicted wrongly, the most confident first."""
        wrong = np.flatnonzero(self.probabilities.argmax(1) != self.labels)
        return wrong[np.argsort(-self.probabilities[wrong].max(1), kind="stable")]


def write_predictions(
    path: Path,
    ids: np.ndarray,
    labels: np.ndarray,
    probabilities: np.ndarray,
    classes: Sequence[str],
    files: Sequence[str] | np.ndarray | None = None,
) -> None:
    """Writes columns `id` (text), `file` (text), `label` (int64) and `p_<class>` (float32 each).

    Atomically. `ids` bytes or text [N], `labels` int [N], `probabilities` float [N, K], `files`
    text [N]; where none is known there is no column `file`.
    """
    if not len(ids) == len(labels) == len(probabilities):
        raise UsageError(
            f"predictions: found {len(ids)} ids, {len(labels)} labels and {len(probabilities)} "
            "rows of probabilities; give one each per image"
        )
    columns = {
        "id": pa.array(np.asarray(ids).astype(str).tolist(), pa.string()),
        "label": pa.array(np.asarray(labels), pa.int64()),
    }
    if files is not None and any(files):
        names = pa.array([as_utf8(str(file)) for file in files], pa.string())
        columns = {"id": columns["id"], "file": names, **columns}
    for k, name in enumerate(classes):
        columns[f"p_{name}"] = pa.array(np.asarray(probabilities[:, k], np.float32))
    with replacing(path) as temporary:
        pq.write_table(pa.table(columns), temporary)


def read_predictions(path: Path) -> Predictions:
    """What `write_predictions` wrote. Raises `RunError` where `path` is missing or no such file."""
    try:
        check_regular(path)
        table = pq.ParquetFile(path).read()
    except (OSError, FileError, pa.ArrowException) as error:
        raise RunError(
            f"{path}: can't be read as parquet ({error}); `clearsight evaluate` writes it anew"
        ) from error
    names = table.column_names
    rest = [name for name in names if name not in ("id", "file", "label")]
    named = all(name.startswith("p_") for name in rest) and len({*names}) == len(names)
    if not {"id", "label"} <= set(names) or not rest or not named:
        raise RunError(
            f"{path}: found columns {', '.join(names)}, expected id, label and one "
            "p_<class> per class; `clearsight evaluate` writes it anew"
        )
    for column in table.schema:
        is_kind = _KINDS.get(column.name, pa.types.is_float32)
        if not is_kind(column.type) or table[column.name].null_count:
            raise RunError(
                f"{path}: column {column.name}: found {column.type} with "
                f"{table[column.name].null_count} gaps, expected text, whole numbers or float32 "
                "without gaps; `clearsight evaluate` writes it anew"
            )
    n = table.num_rows
    return Predictions(
        ids=np.array(table["id"].to_pylist()),
        files=np.array(table["file"].to_pylist() if "file" in names else [""] * n, str),
        labels=table["label"].to_numpy(),
        probabilities=np.stack([table[name].to_numpy() for name in rest], axis=1),
        classes=tuple(name.removeprefix("p_") for name in rest),
    )


def without_files(path: Path) -> bytes:
    """What `write_predictions` wrote, without the names of files: a bundle is given to others."""
    table = pq.ParquetFile(path).read()
    if "file" not in table.column_names:
        return path.read_bytes()
    buffer = pa.BufferOutputStream()
    pq.write_table(table.drop_columns("file"), buffer)
    return buffer.getvalue().to_pybytes()
