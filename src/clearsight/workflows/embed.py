"""Images by the features a bundle gives them: in a table, or those most like one image."""

import os
from collections.abc import Callable, Iterator
from pathlib import Path, PurePath
from typing import Any, Literal

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from clearsight.bundle.engines import in_batches
from clearsight.bundle.predict import Predictor, load
from clearsight.data.cache import cached
from clearsight.data.decoding import read_image
from clearsight.data.images import ImageSet, fit_image
from clearsight.data.sources import load_images
from clearsight.data.unlabelled import is_unlabelled, unlabelled_source
from clearsight.errors import UsageError
from clearsight.evaluation.neighbours import nearest
from clearsight.files import replacing
from clearsight.progress import SILENT, Progress

ROWS = 1000  # images at a time

OnError = Callable[[str, str], None]


def embed(
    bundle: Path | str,
    data: Path | str,
    out: Path | str,
    *,
    engine: Literal["auto", "onnx", "int8", "torch"] = "auto",
    truncated: bool = False,
    data_dir: Path | str | None = None,
    on_error: OnError | None = None,
    progress: Progress = SILENT,
) -> dict[str, Any]:
    """Writes the features of all images of `data` to the parquet file `out`.

    `data` is a data set, as `load_images` takes it, or a folder of images without labels. A row has
    `id`, `file`, `part` and `label` (null where the data have none) and `features`, float32 [D],
    in the order of the data. Memory does not grow with their number, unless damaged files are left
    out.

    A file that can't be used is a `DataError`; with `on_error`, called with it and the reason, it
    is left out. Returns JSON-able values: `features` (the file), `n` and `dimensions`. Raises
    `BundleError` for a bundle without features.
    """
    out = _with_suffix(out, ".parquet")
    predictor = load(bundle, engine)
    _, dimensions = predictor.features(()).shape  # before the work: a bundle may have none
    images = _images(predictor, data, truncated, data_dir, on_error, progress)
    blocks = _features(predictor, images, progress)
    schema = pa.schema(
        {
            **{name: pa.string() for name in ("id", "file", "part", "label")},
            "features": pa.list_(pa.float32(), dimensions),
        }
    )
    start = 0
    with replacing(out) as temporary, pq.ParquetWriter(temporary, schema) as writer:
        for block in blocks:
            rows = [_row(images, i) for i in range(start, start + len(block))]
            columns = [[row[name] for row in rows] for name in schema.names[:-1]]
            values = pa.FixedSizeListArray.from_arrays(pa.array(block.ravel()), dimensions)
            writer.write_table(pa.table([*columns, values], schema=schema))
            start += len(block)
    return {"features": str(out), "n": len(images), "dimensions": dimensions}


def similar(
    bundle: Path | str,
    image: Path | str,
    data: Path | str,
    *,
    count: int = 11,
    out: Path | str | None = None,
    engine: Literal["auto", "onnx", "int8", "torch"] = "auto",
    truncated: bool = False,
    data_dir: Path | str | None = None,
    on_error: OnError | None = None,
    progress: Progress = SILENT,
) -> list[dict[str, Any]]:
    """The `count` images of `data` that are most like the file `image`, the most similar first.

    By the cosine of their features; the rest as in `embed`. Each is `id`, `file`, `part`, `label`
    and `similarity`, from -1 to 1. With `out`, a PNG file, they are drawn as a contact sheet.
    """
    if count < 1:
        raise UsageError(f"count: found {count}, expected 1 or more")
    out = None if out is None else _with_suffix(out, ".png")
    predictor = load(bundle, engine)
    opened = read_image(Path(image), os.fspath(image), truncated=truncated)
    asked = fit_image(opened, predictor.bundle.size, predictor.bundle.fit)
    features = predictor.features(asked)
    images = _images(predictor, data, truncated, data_dir, on_error, progress)
    (rows,), (cosines,) = nearest(features, _features(predictor, images, progress), count)
    found: list[dict[str, Any]] = [
        {**_row(images, i), "similarity": cosine}
        for i, cosine in zip(rows.tolist(), cosines.tolist(), strict=True)
    ]
    if out is not None:
        from clearsight.figures.save import save
        from clearsight.figures.similar import similar_images

        names = [row["label"] or PurePath(row["file"] or row["id"]).name for row in found]
        save(similar_images(asked, images.images[rows], names, cosines), out)
    return found


def _images(
    predictor: Predictor,
    data: Path | str,
    truncated: bool,
    data_dir: Path | str | None,
    on_error: OnError | None,
    progress: Progress,
) -> ImageSet:
    """The images of `data`, fitted as the bundle's were."""
    size, fit, folder = predictor.bundle.size, predictor.bundle.fit, Path(data).expanduser()
    if folder.is_dir() and is_unlabelled(folder):
        images = cached(
            unlabelled_source(folder), size, fit, truncated=truncated, progress=progress,
            on_corrupt=on_error,
        )  # fmt: skip
    else:
        images = load_images(
            str(data), size=size, fit=fit, truncated=truncated, data_dir=data_dir,
            progress=progress, on_corrupt=on_error,
        )  # fmt: skip
    for note in images.notes:
        progress.say(f"data: {note}")
    return images


def _features(predictor: Predictor, images: ImageSet, progress: Progress) -> Iterator[np.ndarray]:
    """float32 [n, D] of the images, in their order."""
    with progress.task("features", len(images)) as advance:
        for start in range(0, len(images), ROWS):
            block = in_batches(predictor.run, images.images[start : start + ROWS]).features
            assert block is not None  # who calls this has asked the predictor for some already
            yield block
            advance(len(block))


def _row(images: ImageSet, i: int) -> dict[str, Any]:
    return {
        "id": images.ids[i].decode(),
        "file": str(images.files[i]),
        "part": str(images.parts[i]) or None,
        "label": images.classes[images.labels[i]] if images.classes else None,
    }


def _with_suffix(path: Path | str, suffix: str) -> Path:
    path = Path(path)
    if path.suffix.lower() != suffix:
        raise UsageError(f"out: found {path}, expected the name of a {suffix} file")
    return path
