"""Images that a program holds already: arrays and Pillow images."""

from collections.abc import Iterable, Sequence

import numpy as np
from PIL import Image

from clearsight.data.cache import in_memory
from clearsight.data.decoding import to_rgb
from clearsight.data.images import Fit, ImageSet, check_classes
from clearsight.data.names import class_names, part_of
from clearsight.data.records import Records, Source, check_labels, class_labels
from clearsight.errors import DataError
from clearsight.notebook import shown
from clearsight.progress import Progress

LARGEST = 224  # px, where no size is asked for


def from_arrays(
    images: np.ndarray | Iterable[np.ndarray | Image.Image],
    labels: Sequence[int | str] | np.ndarray,
    classes: Sequence[str] | None = None,
    *,
    parts: Sequence[str] | None = None,
    size: int | None = None,
    fit: Fit = "letterbox",
    name: str = "arrays",
    progress: Progress | None = None,
) -> ImageSet:
    """Images in memory as an `ImageSet`, for `split`, `train` and the rest.

    - `images`: uint8 [N, H, W] or [N, H, W, 1, 3 or 4], or N images of any size, each a Pillow
      image or uint8 of one of these shapes without N; values from 0 to 255
    - `labels`: one per image, whole numbers or names; with `classes`, the K names, numbers from 0
      to K-1
    - `parts`: `train`, `validation`, `test` or empty, one per image; without them `split` makes
      them
    - `size`, `fit`: images are fitted to `size` px, default: their longest side, 8 to 224

    Raises `DataError`.
    """
    pixels, values = pixels_of(images), np.asarray(labels)
    if values.shape != (len(pixels),):
        raise DataError(
            f"{name}: labels: found the shape {list(values.shape)}, expected a label for each of "
            f"the {len(pixels):,} images"
        )
    if classes is None:
        numbers, found = class_labels(values, f"{name}: labels")
        names = class_names(found, f"{name}: labels")
    else:
        names = class_names(classes, f"{name}: classes")
        if values.dtype.kind not in "iu":
            raise DataError(
                f"{name}: labels: found {values.dtype} values beside classes, expected whole "
                f"numbers from 0 to {len(names) - 1}"
            )
        numbers = values.astype(np.int64)
        check_labels(numbers, len(names), lambda i: f"{name}, image {i}")
    check_classes(names, np.bincount(numbers, minlength=len(names)).tolist(), name)
    records = Records(
        images=pixels,
        labels=numbers,
        classes=names,
        parts=_parts(parts, len(pixels), name),
        locate=lambda i: f"{name}, image {i}",
    )
    side = size or min(LARGEST, max(8, *(max(image.shape[:2]) for image in pixels)))
    source = Source(name=name, fingerprint="", read=lambda: records)
    return in_memory(source, side, fit, shown(progress))


def pixels_of(images: np.ndarray | Iterable[np.ndarray | Image.Image]) -> list[np.ndarray]:
    """Each image as uint8 [H, W] or [H, W, 3 or 4].

    `images` as in `from_arrays`. Raises `DataError` for anything else, naming the image.
    """
    found = [_pixels(image, i) for i, image in enumerate(images)]
    if not found:
        raise DataError("images: found none; give at least one")
    return found


def _pixels(image: np.ndarray | Image.Image, i: int) -> np.ndarray:
    if isinstance(image, Image.Image):
        return np.asarray(to_rgb(image))
    if not isinstance(image, np.ndarray):
        raise DataError(
            f"images, image {i}: found {type(image).__name__}, expected uint8 arrays or Pillow "
            "images"
        )
    plane = image.ndim == 2 or (image.ndim == 3 and image.shape[2] in (1, 3, 4))
    if image.dtype != np.uint8 or not plane or not image.size:
        raise DataError(
            f"images, image {i}: found {image.dtype} {list(image.shape)}, expected uint8 [H, W] or "
            "[H, W, 1, 3 or 4] with values from 0 to 255"
        )
    return image[..., 0] if image.shape[2:] == (1,) else image


def _parts(parts: Sequence[str] | None, n: int, name: str) -> np.ndarray:
    if parts is None:
        return np.full(n, "", "U10")
    told = [part_of(part) if part else "" for part in parts]
    if len(told) != n or None in told:
        raise DataError(
            f"{name}: parts: expected train, validation, test or an empty text for each of the "
            f"{n:,} images"
        )
    return np.array(told, "U10")
