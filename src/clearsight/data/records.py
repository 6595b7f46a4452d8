"""What the readers of files give to the cache: a `Source`, and the `Records` it holds."""

import os
import stat
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from clearsight.data.packed import Packed
from clearsight.errors import DataError
from clearsight.files import file_digest

PARTS = {
    "train": "train",
    "val": "validation",
    "valid": "validation",
    "validation": "validation",
    "test": "test",
    "": "",
}
"""Every accepted name of a part, and the one `ImageSet.parts` uses."""


@dataclass(frozen=True, kw_only=True)
class Records:
    """Labelled images before decoding, N of them.

    - `images`: N encoded images, each as bytes, as its file's place, or as pixels: uint8 [H, W],
      [H, W, 3] or [H, W, 4]
    - `labels`: int64 [N], 0 … K-1; `classes`: K names, or none, and the labels are -1
    - `parts`: [N], as in `ImageSet`
    - `locate`: the place of image i as messages name it, such as `pets/train/cat/1.png`
    - `files`: the source's own name of each image, as in `ImageSet`; empty where it has none
    - `groups`, `weights`: as in `ImageSet`
    - `notes`: what reading them had to report
    """

    images: Sequence[bytes | Path | Packed | np.ndarray]
    labels: np.ndarray
    classes: tuple[str, ...]
    parts: np.ndarray
    locate: Callable[[int], str]
    files: Sequence[str] = ()
    groups: np.ndarray | None = None
    weights: np.ndarray | None = None
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Source:
    """A data set that was found, not read yet.

    `fingerprint` is equal for equal content; `read` may be slow and raises `DataError`; `notes` is
    what finding it had to report.
    """

    name: str
    fingerprint: str
    read: Callable[[], Records]
    notes: tuple[str, ...] = ()


def class_labels(values: np.ndarray, place: str) -> tuple[np.ndarray, tuple[str, ...]]:
    """Labels int64 [N] and class names of raw integer or text labels [N] that come without names.

    The classes are the distinct values, sorted; `place` names the labels in errors.
    """
    if values.dtype.kind not in "iuUS":
        raise DataError(
            f"{place}: found {values.dtype} values, expected whole numbers or class names"
        )
    distinct, labels = np.unique(values.astype(str) if values.dtype.kind == "S" else values,
                                 return_inverse=True)  # fmt: skip
    return labels.astype(np.int64), tuple(str(value) for value in distinct)


def check_labels(labels: np.ndarray, classes: int, locate: Callable[[int], str]) -> None:
    """Raises `DataError` naming the first label outside 0 … `classes`-1."""
    wrong = np.flatnonzero((labels < 0) | (labels >= classes))
    if len(wrong):
        raise DataError(
            f"{locate(int(wrong[0]))}: found label {labels[wrong[0]]}, "
            f"expected 0 to {classes - 1}; mend the label or remove the image"
        )


def file_digests(files: Sequence[Path], algorithm: str = "sha256") -> list[str]:
    """Hex digest of each file's bytes, the files hashed in parallel. Raises `DataError`."""

    def digest(path: Path) -> str:
        try:
            if not stat.S_ISREG(path.stat().st_mode):  # opening one could wait for ever
                raise DataError(f"{path}: is no regular file; give the data file itself")
            return file_digest(path, algorithm)
        except OSError as error:
            raise DataError(
                f"{path}: can't be read ({error.strerror or error}); check the file"
            ) from error

    with ThreadPoolExecutor() as pool:
        return list(pool.map(digest, files))


def file_stamp(status: os.stat_result) -> tuple[int, ...]:
    """What changes with a file's content. `cp -p` and `rsync -t` keep the size and the time of the
    last change to the content; nobody can set the time of the last change to the file itself."""
    return status.st_size, status.st_mtime_ns, status.st_ctime_ns, status.st_ino, status.st_dev
