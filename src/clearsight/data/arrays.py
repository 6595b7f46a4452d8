"""Images that are arrays already: `.npz` files, and scikit-learn's digits."""

import zipfile
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path

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

_KEYS = "images and labels, or x_train, y_train, x_test and y_test"


def npz_source(path: Path) -> Source:
    """A `.npz` file in one of two layouts.

    - `images` uint8 [N, H, W] or [N, H, W, 1, 3 or 4], `labels` [N]; optionally `classes` (K names)
      and `parts` or `split` ([N]: train, val, valid, validation, test, or empty)
    - `x_train`, `y_train`, optionally `x_val`/`x_valid`/`x_validation` and `x_test` with their
      labels, and `classes`
    """
    (digest,) = file_digests([path])
    return Source(name=path.stem, fingerprint=digest, read=lambda: _read(path))


def digits_source() -> Source:
    """1,797 scans of handwritten digits, 8 × 8 px, bundled with scikit-learn; no given parts.

    E. Alpaydin and C. Kaynak, "Optical Recognition of Handwritten Digits", UCI, 1998 (the test
    set).
    """
    return Source(
        name="digits",
        fingerprint=f"scikit-learn {version('scikit-learn')} digits",
        read=_digits,
    )


def _digits() -> Records:
    from sklearn.datasets import load_digits

    digits = load_digits()
    pixels = np.rint(digits.images * (255 / 16)).astype(np.uint8)
    return Records(
        images=list(pixels),
        labels=digits.target.astype(np.int64),
        classes=tuple("0123456789"),
        parts=np.full(len(pixels), "", "U10"),
        locate=lambda i: f"digits, image {i}",
    )


def _read(path: Path) -> Records:
    try:
        if not zipfile.is_zipfile(path):  # numpy would take it for a pickle, and say so
            raise zipfile.BadZipFile("it is no zip file")
        with np.load(path, allow_pickle=False) as file:
            arrays = {key: file[key] for key in file.files}
    except (OSError, ValueError, EOFError, zipfile.BadZipFile) as error:
        raise DataError(
            f"{path}: can't be read as .npz ({error}); save plain arrays with numpy.savez"
        ) from error
    pieces = _pieces(arrays, path)
    values = np.concatenate([labels for _, labels, _ in pieces])

    def locate(i: int) -> str:
        return f"{path}, image {i}"

    if "classes" in arrays and values.dtype.kind in "iu":
        labels, classes = values.astype(np.int64), tuple(str(c) for c in arrays["classes"])
        check_labels(labels, len(classes), locate)
    else:
        labels, classes = class_labels(values, f"{path}: labels")
    return Records(
        images=[image for images, _, _ in pieces for image in images],
        labels=labels,
        classes=classes,
        parts=np.concatenate([parts for _, _, parts in pieces]),
        locate=locate,
    )


def _pieces(
    arrays: Mapping[str, np.ndarray], path: Path
) -> list[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """(images [n, H, W] or [n, H, W, C], labels [n], parts [n]) of each piece of the file."""
    if "images" in arrays and "labels" in arrays:
        images, labels = _piece(arrays, "images", "labels", path)
        given = arrays.get("parts", arrays.get("split", np.full(len(images), "")))
        unknown = sorted({str(part) for part in given.ravel()} - set(PARTS))
        if unknown or given.shape != (len(images),):
            found = f"found {unknown[0]!r}" if unknown else f"found the shape {given.shape}"
            raise DataError(
                f"{path}: parts: {found}, expected train, validation or test for each image"
            )
        parts = np.array([PARTS[str(part)] for part in given], "U10")
        return [(images, labels, parts)]
    pieces = []
    for name, part in PARTS.items():
        if part and f"x_{name}" in arrays and f"y_{name}" in arrays:
            images, labels = _piece(arrays, f"x_{name}", f"y_{name}", path)
            pieces.append((images, labels, np.full(len(images), part, "U10")))
    if not pieces:
        raise DataError(f"{path}: found the arrays {', '.join(arrays) or 'none'}, expected {_KEYS}")
    return pieces


def _piece(
    arrays: Mapping[str, np.ndarray], x: str, y: str, path: Path
) -> tuple[np.ndarray, np.ndarray]:
    images, labels = arrays[x], arrays[y]
    is_colour = images.ndim == 4 and images.shape[3] in (1, 3, 4)
    if images.dtype != np.uint8 or not (images.ndim == 3 or is_colour) or not images.size:
        raise DataError(
            f"{path}: {x}: found {images.dtype} of shape {images.shape}, "
            "expected uint8 (0–255) of shape [N, H, W] or [N, H, W, 1, 3 or 4]"
        )
    if labels.shape == (len(images), 1):
        labels = labels[:, 0]
    if labels.shape != (len(images),):
        raise DataError(
            f"{path}: {y}: found the shape {labels.shape}, expected a label for each of the "
            f"{len(images):,} images of {x}"
        )
    return (images[..., 0] if images.shape[3:] == (1,) else images), labels
