"""Images that are arrays already: `.npz` files, and scikit-learn's digits."""

import lzma
import re
import zipfile
import zlib
from collections.abc import Callable, Mapping
from importlib.metadata import version
from pathlib import Path

import numpy as np

from clearsight.data.names import PARTS, class_names, listed, part_of, printable
from clearsight.data.records import Records, Source, check_labels, class_labels, file_digests
from clearsight.errors import DataError

_KEYS = (
    "images and labels, or x_train, y_train, x_test and y_test, or train_images, train_labels, "
    "test_images and test_labels"
)
_OF_PART = re.compile("([xy])_(.+)|(.+)_(images|labels)")
_NAMED = ("images", "labels", "classes", "parts", "split")

# What zipfile and numpy raise on damaged, encrypted or unknown content, by their source.
_DAMAGED = (
    OSError, ValueError, EOFError, KeyError, TypeError, IndexError, AttributeError, SyntaxError,
    RuntimeError, MemoryError, OverflowError, zipfile.BadZipFile, zlib.error, lzma.LZMAError,
)  # fmt: skip


def npz_source(path: Path) -> Source:
    """A `.npz` file in one of three layouts.

    - `images` uint8 [N, H, W] or [N, H, W, 1, 3 or 4], `labels` [N]; optionally `classes` (K names)
      and `parts` or `split` ([N]: names of parts as in `names.part_of`, or empty)
    - `x_train`, `y_train`, optionally `x_val` (or another name of validation) and `x_test` with
      their labels, and `classes`
    - `train_images`, `train_labels`, and so on: as MedMNIST is published (J. Yang et al., "MedMNIST
      v2", Scientific Data, 2023), the 2-D sets with one label an image

    Other arrays in the file are not read.
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
        files=[f"digits, image {i}" for i in range(len(pixels))],
    )


def _read(path: Path) -> Records:
    place = printable(path)
    arrays = _load(path, place)
    pieces = _pieces(arrays, place)
    if len({labels.dtype.kind for _, labels, _ in pieces}) > 1:
        raise DataError(
            f"{place}: some labels are whole numbers and some are class names; use one of the two"
        )
    values = np.concatenate([labels for _, labels, _ in pieces])

    def locate(i: int) -> str:
        return f"{place}, image {i}"

    if "classes" in arrays and values.dtype.kind == "i":
        given = arrays["classes"]
        if given.ndim != 1 or given.dtype.kind not in "USiu":
            raise DataError(
                f"{place}: classes: found {given.dtype} of shape {given.shape}, expected a list of "
                "class names"
            )
        labels, classes = values, class_names(_plain(given, "classes", place).astype(str), place)
        check_labels(labels, len(classes), locate)
    else:
        labels, classes = class_labels(values, f"{place}: labels")
        classes = class_names(classes, f"{place}: labels")
    return Records(
        images=[image for images, _, _ in pieces for image in images],
        labels=labels,
        classes=classes,
        parts=np.concatenate([parts for _, _, parts in pieces]),
        locate=locate,
        files=[f"{path.name}, image {i}" for i in range(len(labels))],
    )


def _load(path: Path, place: str) -> dict[str, np.ndarray]:
    """The arrays of the file that are used; those of other names are not read."""
    try:
        if not zipfile.is_zipfile(path):  # numpy would take it for a pickle, and say so
            raise zipfile.BadZipFile("not a zip file")
        with np.load(path, allow_pickle=False) as file:
            used = [k for k in file.files if k in _NAMED or _OF_PART.fullmatch(k)]
            for key in used:
                _check_declared(file.zip, key)
            arrays = {key: file[key] for key in used}
            names = file.files
    except _DAMAGED as error:
        reason = printable(str(error))[:200] or type(error).__name__
        raise DataError(
            f"{place}: can't be read as .npz ({reason}); save plain arrays with numpy.savez"
        ) from error
    if not arrays:
        found = listed(map(printable, names), 10) or "none"
        raise DataError(f"{place}: found the arrays {found}, expected {_KEYS}")
    return arrays


def _check_declared(archive: zipfile.ZipFile, key: str) -> None:
    """Raises `ValueError` unless the member holds as many bytes as its header declares.

    numpy allocates what the header says before it reads.
    """
    name = f"{key}.npy" if f"{key}.npy" in archive.namelist() else key
    with archive.open(name) as member:
        read_header: Callable = {
            (1, 0): np.lib.format.read_array_header_1_0,
            (2, 0): np.lib.format.read_array_header_2_0,
        }[np.lib.format.read_magic(member)]
        shape, _, dtype = read_header(member)
        declared = dtype.itemsize
        for side in shape:
            declared *= side
        if dtype.hasobject:
            raise ValueError(f"{key} holds Python objects")
        if min(shape, default=0) < 0 or declared != archive.getinfo(name).file_size - member.tell():
            raise ValueError(f"{key} declares the shape {shape}, which its bytes don't fit")


def _pieces(
    arrays: Mapping[str, np.ndarray], place: str
) -> list[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """(images [n, H, W] or [n, H, W, C], labels [n], parts [n]) of each piece of the file."""
    if "images" in arrays and "labels" in arrays:
        images, labels = _piece(arrays, "images", "labels", place)
        given = arrays.get("parts", arrays.get("split", np.full(len(images), "")))
        if given.shape != (len(images),) or given.dtype.kind not in "US":
            raise DataError(
                f"{place}: parts: found the shape {given.shape} of {given.dtype}, expected train, "
                "validation or test for each image"
            )
        words = _plain(given, "parts", place).tolist()
        told = {word: part_of(word) if word else "" for word in set(words)}
        unknown = sorted(word for word, part in told.items() if part is None)
        if unknown:
            raise DataError(
                f"{place}: parts: found {unknown[0]!r:.60}, expected train, validation or test for "
                "each image"
            )
        return [(images, labels, np.array([told[word] for word in words], "U10"))]
    pieces = []
    told = {key: part for key in arrays if (part := _part_of_images(key))}
    for x in sorted(told, key=lambda key: (PARTS.index(told[key]), key)):
        y = f"y_{x[2:]}" if x.startswith("x_") else f"{x.removesuffix('_images')}_labels"
        if y not in arrays:
            raise DataError(f"{place}: found {x} without {y}; add the labels or remove the images")
        images, labels = _piece(arrays, x, y, place)
        pieces.append((images, labels, np.full(len(images), told[x], "U10")))
    if not pieces:
        found = listed(map(printable, arrays), 10)
        raise DataError(f"{place}: found the arrays {found}, expected {_KEYS}")
    return pieces


def _part_of_images(key: str) -> str | None:
    """The part that an array of images is called after, as `x_train` or `train_images`."""
    found = _OF_PART.fullmatch(key)
    if found is None or found[1] == "y" or found[4] == "labels":
        return None
    return part_of(found[2] or found[3])


def _piece(
    arrays: Mapping[str, np.ndarray], x: str, y: str, place: str
) -> tuple[np.ndarray, np.ndarray]:
    """Images uint8, and labels int64 or text, of one piece."""
    images, labels = arrays[x], arrays[y]
    is_colour = images.ndim == 4 and images.shape[3] in (1, 3, 4)
    if images.dtype != np.uint8 or not (images.ndim == 3 or is_colour) or not images.size:
        raise DataError(
            f"{place}: {x}: found {images.dtype} of shape {images.shape}, "
            "expected uint8 (0–255) of shape [N, H, W] or [N, H, W, 1, 3 or 4]"
        )
    if labels.shape == (len(images), 1):
        labels = labels[:, 0]
    if labels.ndim == 2 and len(labels) == len(images):
        raise DataError(
            f"{place}: {y}: found {labels.shape[1]} labels an image, expected one; choose a task "
            "with one label an image"
        )
    if labels.shape != (len(images),):
        raise DataError(
            f"{place}: {y}: found the shape {labels.shape}, expected a label for each of the "
            f"{len(images):,} images of {x}"
        )
    return (images[..., 0] if images.shape[3:] == (1,) else images), _plain(labels, y, place)


def _plain(values: np.ndarray, name: str, place: str) -> np.ndarray:
    """Whole numbers as int64, text and UTF-8 bytes as text."""
    if values.dtype.kind not in "iuUS":
        raise DataError(
            f"{place}: {name}: found {values.dtype} values, expected whole numbers or class names"
        )
    if values.dtype.kind == "u" and values.size and values.max() > np.iinfo(np.int64).max:
        raise DataError(f"{place}: {name}: found {values.max()}, over the limit of 64-bit integers")
    if values.dtype.kind in "iu":
        return values.astype(np.int64)
    try:
        if values.dtype.kind == "S":
            values = np.array([value.decode() for value in values.tolist()], np.str_)
        values.tolist()  # raises for code points that Unicode doesn't have
    except ValueError as error:
        raise DataError(
            f"{place}: {name}: found text that is not valid UTF-8 ({error}); save str values"
        ) from error
    return values
