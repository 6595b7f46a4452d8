"""`predictions.parquet`: what the model said of every measured image."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from clearsight.errors import FileError, RunError, UsageError
from clearsight.files import check_regular, replacing


@dataclass(frozen=True, kw_only=True)
class Predictions:
    """One row per image, in the order measured.

    - `ids`: text [N], as `ImageSet.ids`
    - `labels`: int64 [N], the true classes, 0 … K-1
    - `probabilities`: float32 [N, K]
    - `classes`: K names
    """

    ids: np.ndarray
    labels: np.ndarray
    probabilities: np.ndarray
    classes: tuple[str, ...]


def write_predictions(
    path: Path,
    ids: np.ndarray,
    labels: np.ndarray,
    probabilities: np.ndarray,
    classes: Sequence[str],
) -> None:
    """Writes columns `id` (text), `label` (int64) and `p_<class>` (float32 each), atomically.

    `ids` bytes or text [N], `labels` int [N], `probabilities` float [N, K].
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
    id_, label, *rest = table.column_names if table.num_columns > 2 else ("", "")
    named = all(name.startswith("p_") for name in rest) and len({*rest}) == len(rest)
    if (id_, label) != ("id", "label") or not named:
        raise RunError(
            f"{path}: found columns {', '.join(table.column_names)}, expected id, label and one "
            "p_<class> per class; `clearsight evaluate` writes it anew"
        )
    kinds = (pa.types.is_string, pa.types.is_int64, *[pa.types.is_float32] * len(rest))
    for column, is_kind in zip(table.schema, kinds, strict=True):
        if not is_kind(column.type) or table[column.name].null_count:
            raise RunError(
                f"{path}: column {column.name}: found {column.type} with "
                f"{table[column.name].null_count} gaps, expected text, whole numbers or float32 "
                "without gaps; `clearsight evaluate` writes it anew"
            )
    return Predictions(
        ids=np.array(table["id"].to_pylist()),
        labels=table["label"].to_numpy(),
        probabilities=np.stack([table[name].to_numpy() for name in rest], axis=1),
        classes=tuple(name.removeprefix("p_") for name in rest),
    )
