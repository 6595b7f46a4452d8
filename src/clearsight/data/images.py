"""`ImageSet`: labelled images of one size as uint8 pixels, with an id per image."""

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from io import BytesIO
from typing import Literal

import numpy as np
from PIL import Image

from clearsight.errors import DataError
from clearsight.notebook import paragraphs, picture

_SHOWN_CLASSES, _SHOWN_IMAGES = 10, 12
Fit = Literal["letterbox", "crop", "stretch"]


@dataclass(frozen=True, kw_only=True, repr=False)
class ImageSet:
    """Labelled images, all of one size.

    - `images`: uint8 [N, H, W, 3], RGB, 0–255; may be memory-mapped
    - `labels`: int64 [N], 0 … K-1; all -1 for images without labels (`data.unlabelled`)
    - `classes`: K names, then none
    - `ids`: bytes [N]: SHA-256 of the original's pixels and shape, in hex, upright and before
      fitting; exact duplicates get `-2`, `-3` …
    - `parts`: [N], which part the source itself puts an image in: `train`, `validation`, `test`,
      or `""` where it does not say
    - `files`: text [N], the source's own name of each image: its path within the data set, or file
      and row; `""` where it has none
    - `name`: the data set's name; `size`, `fit`: how images were fitted
    - `notes`: what reading the source had to report, a sentence each (stray files, modes, …)
    - `source_labels`: int64 [N], the labels as the source gives them, where `labels` are corrected
    - `groups`: int64 [N], equal for images of one origin (a patient, a video, a burst), which stay
      on one side of a split; -1 for an image without a group, None where the source has none
    - `weights`: float64 [N], 0 or more: how much each counts in the training loss; None: all alike
    """

    images: np.ndarray
    labels: np.ndarray
    classes: tuple[str, ...]
    ids: np.ndarray
    parts: np.ndarray
    name: str
    fit: Fit = "letterbox"
    notes: tuple[str, ...] = ()
    files: np.ndarray = field(default_factory=lambda: np.empty(0, "U1"))
    source_labels: np.ndarray | None = None
    groups: np.ndarray | None = None
    weights: np.ndarray | None = None

    def __post_init__(self) -> None:
        n = len(self.images)
        if not len(self.files):
            object.__setattr__(self, "files", np.full(n, "", "U1"))
        assert self.images.dtype == np.uint8, self.images.dtype
        assert self.images.ndim == 4, self.images.shape
        assert self.images.shape[3] == 3, self.images.shape
        assert len(self.labels) == len(self.ids) == len(self.parts) == len(self.files) == n
        assert self.groups is None or self.groups.shape == (n,), self.groups.shape
        assert self.weights is None or self.weights.shape == (n,), self.weights.shape

    def __len__(self) -> int:
        return len(self.images)

    def __repr__(self) -> str:
        return f"<ImageSet {self._described()}>"

    def _repr_html_(self) -> str:
        names = ", ".join(self.classes[:_SHOWN_CLASSES])
        more = ", …" * (len(self.classes) > _SHOWN_CLASSES)
        return paragraphs([self._described(), names + more, *self.notes]) + picture(self._sheet())

    def _described(self) -> str:
        return (
            f"{self.name}: {len(self):,} images of {self.size} × {self.size} px "
            f"in {len(self.classes)} classes"
        )

    def _sheet(self) -> bytes:
        """A PNG of the first images of the first classes, a row each."""
        side, gap = max(self.size, min(2 * self.size, 64)), 4
        rows = [
            np.flatnonzero(self.labels == k)[:_SHOWN_IMAGES]
            for k in range(min(len(self.classes), _SHOWN_CLASSES))
        ]
        step = side + gap
        sheet = Image.new("RGB", (max(map(len, rows)) * step, len(rows) * step), "white")
        for y, row in enumerate(rows):
            for x, index in enumerate(row):
                pixels = Image.fromarray(self.images[index]).resize(
                    (side, side), Image.Resampling.NEAREST
                )
                sheet.paste(pixels, (x * step, y * step))
        file = BytesIO()
        sheet.save(file, "PNG")
        return file.getvalue()

    @property
    def size(self) -> int:
        """Side of the square images, px."""
        return int(self.images.shape[1])

    def uncorrected(self) -> "ImageSet":
        """The same images with the labels that their source gives them."""
        if self.source_labels is None:
            return self
        return replace(self, labels=self.source_labels, source_labels=None)

    def corrected(self, part: np.ndarray) -> int:
        """How many of the images at `part`, int64 indices, have a corrected label."""
        return int((self.labels != self.uncorrected().labels)[part].sum())


def content_ids(images: np.ndarray) -> np.ndarray:
    """bytes [N]: SHA-256 in hex of each image's shape and pixels, duplicates numbered from `-2`.

    `images`: uint8 [N, H, W, 3].
    """
    return number_duplicates([content_id(image) for image in images])


def fitted_ids(images: ImageSet) -> np.ndarray:
    """bytes [N]: the ids by the rule up to split format 1, which hashed the pixels after fitting.

    They equal `images.ids` where the originals have the size already.
    """
    digests = [content_id(image) for image in images.images]
    return number_by_label(digests, images.uncorrected().labels, images.parts)


def number_by_label(digests: Sequence[str], labels: np.ndarray, parts: np.ndarray) -> np.ndarray:
    """Ids, bytes [N]: duplicates numbered by part and label, so that the order of files changes
    nothing."""
    order = np.lexsort((labels, parts))
    ids = np.empty(len(digests), "S72")
    ids[order] = number_duplicates([digests[i] for i in order])
    return ids


def number_duplicates(digests: Sequence[str]) -> np.ndarray:
    """Ids, bytes [N], of content ids: every repeated one gets `-2`, `-3` … in the order given."""
    seen: dict[str, int] = {}
    ids = []
    for digest in digests:
        seen[digest] = count = seen.get(digest, 0) + 1
        ids.append(digest if count == 1 else f"{digest}-{count}")
    return np.array(ids, dtype="S72")


def content_id(image: np.ndarray | Image.Image) -> str:
    """SHA-256 in hex of the shape, (H, W, 3), and the uint8 pixels of one RGB image."""
    if isinstance(image, np.ndarray):
        digest = hashlib.sha256(repr(image.shape).encode())
        digest.update(np.ascontiguousarray(image).data)
        return digest.hexdigest()
    width, height = image.size
    digest = hashlib.sha256(repr((height, width, 3)).encode())
    for strip in strips(image):  # the pixels of a large one are not in memory twice
        digest.update(np.asarray(strip).data)
    return digest.hexdigest()


def strips(image: Image.Image) -> Iterator[Image.Image]:
    """The image, cut into pieces of its full width and about a megapixel, from the top."""
    width, height = image.size
    rows = max(1, 2**20 // width)
    if rows >= height:
        yield image
        return
    for top in range(0, height, rows):
        yield image.crop((0, top, width, min(top + rows, height)))


def fit_image(image: Image.Image, size: int, fit: Fit) -> np.ndarray:
    """One RGB image as uint8 [size, size, 3]; one that has the size already passes untouched.

    - `letterbox`: scaled to fit inside, centred on the mean colour of its border
    - `crop`: scaled to cover, the centre cut out
    - `stretch`: scaled to the square, whatever its proportions

    Bicubic with antialiasing (Pillow's), the same for training and inference.
    """
    if image.mode != "RGB":
        image = image.convert("RGB")
    width, height = image.size
    if image.size == (size, size):
        return np.asarray(image)
    if fit == "stretch":
        return np.asarray(image.resize((size, size), Image.Resampling.BICUBIC))
    scale = (min if fit == "letterbox" else max)(size / width, size / height)
    scaled = (max(1, round(width * scale)), max(1, round(height * scale)))
    image = image.resize(scaled, Image.Resampling.BICUBIC)
    left, top = (size - scaled[0]) // 2, (size - scaled[1]) // 2
    if fit == "crop":
        return np.asarray(image.crop((-left, -top, size - left, size - top)))
    pixels = np.asarray(image)
    border = np.concatenate([pixels[0], pixels[-1], pixels[:, 0], pixels[:, -1]])
    canvas = np.empty((size, size, 3), np.uint8)
    canvas[:] = border.mean(0).round().astype(np.uint8)
    canvas[top : top + scaled[1], left : left + scaled[0]] = pixels
    return canvas


def check_classes(classes: Sequence[str], counts: Sequence[int], name: str) -> None:
    """Raises `DataError` where a data set has fewer than two classes, or an empty one."""
    if len(classes) < 2:
        raise DataError(
            f"{name}: found {len(classes)} class{'es' * (len(classes) != 1)} "
            f"({', '.join(classes) or 'none'}), a classifier needs at least two; "
            "give each class a folder of its own"
        )
    empty = [c for c, count in zip(classes, counts, strict=True) if not count]
    if empty:
        raise DataError(
            f"{name}: no images in class {', '.join(map(repr, empty))}; "
            "add images or remove the class"
        )
