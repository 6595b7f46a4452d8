"""Encoded images to pixels, the same way for training, inference and audits.

`read_image` makes one RGB image of one file; `decode_records` makes a whole data set's pixels, on
all cores.
"""

import os
from collections import Counter
from collections.abc import Generator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from PIL import ExifTags, Image

from clearsight.data.formats import (
    Loaded,
    UnusableError,
    cannot_decode,
    check_size,
    header_size,
    load_image,
    quiet,
    read_file,
)
from clearsight.data.images import Fit, content_id, fit_image, strips
from clearsight.data.packed import Packed
from clearsight.data.records import Records
from clearsight.errors import DataError

_CHUNK = 256  # images, at most
_LOOKED_AT = 32  # images by which the size of a data set is judged
_UPRIGHT = {  # EXIF 2.32, tag 0x0112
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


@dataclass
class Findings:
    """What was met while decoding: sizes (width, height) in px, Pillow modes, conversions."""

    sizes: Counter[tuple[int, int]] = field(default_factory=Counter)
    modes: Counter[str] = field(default_factory=Counter)
    changes: Counter[str] = field(default_factory=Counter)

    def update(self, other: "Findings") -> None:
        self.sizes.update(other.sizes)
        self.modes.update(other.modes)
        self.changes.update(other.changes)

    def sentences(self, size: int, fit: Fit) -> tuple[str, ...]:
        """A sentence each on sizes, modes and conversions, for `ImageSet.notes`."""
        total = sum(self.sizes.values())
        modes = ", ".join(f"{mode} {count:,}" for mode, count in self.modes.most_common())
        widths, heights = zip(*self.sizes, strict=True)
        if len(self.sizes) == 1:
            sizes = f"{total:,} images of {widths[0]} × {heights[0]} px"
        else:
            sizes = (
                f"{total:,} images of {len(self.sizes):,} sizes, "
                f"{min(widths)} to {max(widths)} px wide and {min(heights)} to {max(heights)} high"
            )
        if set(self.sizes) != {(size, size)}:
            sizes += f", fitted to {size} × {size} by {fit}"
        changed = (
            f"{what}: {count:,} of {total:,} images" for what, count in sorted(self.changes.items())
        )
        return (f"{sizes}; modes: {modes}", *changed)


@dataclass(frozen=True)
class Chunk:
    """Consecutive decoded images: pixels uint8 [n, S, S, 3], their positions in the records and
    the content ids of the originals; `corrupt` holds (place, reason) of those missing here."""

    pixels: np.ndarray
    positions: list[int]
    ids: list[str]
    corrupt: list[tuple[str, str]]
    findings: Findings


def read_image(encoded: bytes | Path, name: str, *, truncated: bool = False) -> Image.Image:
    """One image file, or its bytes, as an upright RGB image of 8 bits per channel.

    PNG, JPEG, WebP, BMP, GIF, TIFF, AVIF, PPM and PGM (of several pictures the first), known by
    their content. EXIF rotation is applied, transparency lies on white, 16-bit values keep their
    high byte; a JPEG above 16 megapixels is decoded at a reduced scale, see
    `formats.load_image`. With `truncated`, what can be decoded of a damaged file is used.

    Raises `DataError`, naming `name`, for anything else, for damaged files, and above 64 megapixels
    (WebP and AVIF 32) or an aspect of 64, which are known from the header alone.
    """
    return _read(encoded, name, truncated)


def to_rgb(image: Image.Image) -> Image.Image:
    """An opened Pillow image as `read_image` would give its file. Raises `DataError`."""
    return _read(image, "the image given", False, between=" ")


def longest_side(records: Records) -> int:
    """The longer side, in px, of the largest among a few of the records' images; at least 32."""
    sides = [32]
    with quiet:
        for i in range(0, len(records.images), max(1, len(records.images) // _LOOKED_AT)):
            item = records.images[i]
            try:
                sides += (
                    item.shape[:2] if isinstance(item, np.ndarray) else header_size(_bytes(item))
                )
            except UnusableError:  # reported when it is decoded
                continue
    return max(sides)


def decode_records(
    records: Records, size: int, fit: Fit, *, truncated: bool = False
) -> Generator[Chunk]:
    """The records' images, fitted, in order, in chunks decoded on all cores.

    Threads are enough: Pillow works outside the interpreter's lock.
    """
    n, cores = len(records.images), os.cpu_count() or 1
    step = min(_CHUNK, max(1, n // (8 * cores)))  # some for every core, in a small set too

    def decode(start: int) -> Chunk:
        with quiet:
            return _decode_chunk(records, range(start, min(start + step, n)), size, fit, truncated)

    with ThreadPoolExecutor(cores) as pool:
        yield from pool.map(decode, range(0, n, step))


def _decode_chunk(records: Records, span: range, size: int, fit: Fit, truncated: bool) -> Chunk:
    images = records.images[span.start : span.stop]
    pixels = np.empty((len(images), size, size, 3), np.uint8)
    findings = Findings()
    positions: list[int] = []
    ids: list[str] = []
    corrupt: list[tuple[str, str]] = []
    with ExitStack() as held:
        for position, item in zip(span, images, strict=True):
            try:
                ids.append(_fit(item, pixels[len(ids)], fit, findings, held, truncated))
                positions.append(position)
            except UnusableError as error:
                corrupt.append((records.locate(position), str(error)))
            finally:
                held.close()
    return Chunk(pixels[: len(ids)], positions, ids, corrupt, findings)


def _fit(
    item: bytes | Path | Packed | np.ndarray,
    row: np.ndarray,
    fit: Fit,
    findings: Findings,
    held: ExitStack,
    truncated: bool,
) -> str:
    """Puts an image into `row`, uint8 [S, S, 3]; returns the content id of the original."""
    rgb, size = _decode(item, findings, held, truncated), len(row)
    row[:] = fit_image(rgb, size, fit)
    return content_id(row if rgb.size == (size, size) else rgb)


def _read(
    item: bytes | Path | Image.Image, name: str, truncated: bool, between: str = ": "
) -> Image.Image:
    try:
        with quiet, ExitStack() as held:
            return _decode(item, Findings(), held, truncated)
    except UnusableError as error:
        raise DataError(f"{name}{between}{error}") from error


def _decode(
    item: bytes | Path | Packed | np.ndarray | Image.Image,
    findings: Findings,
    held: ExitStack,
    truncated: bool,
) -> Image.Image:
    """An image as upright RGB; `held` as in `formats.load_image`. Raises `UnusableError`."""
    try:
        return _convert(_load(item, held, truncated), findings)
    except UnusableError:
        raise
    except Exception as error:  # Pillow raises anything on damaged files and strange modes
        raise cannot_decode(error) from error


def _load(
    item: bytes | Path | Packed | np.ndarray | Image.Image, held: ExitStack, truncated: bool
) -> Loaded:
    if isinstance(item, np.ndarray):
        image = Image.fromarray(item)
    elif isinstance(item, Image.Image):
        image = item
    else:
        return load_image(_bytes(item), held, truncated=truncated)
    check_size(image.size)
    image.load()
    return Loaded(image, image.size)


def _bytes(item: bytes | Path | Packed) -> bytes:
    if isinstance(item, Packed):
        return item.read_bytes()
    return item if isinstance(item, bytes) else read_file(item)


def _convert(loaded: Loaded, findings: Findings) -> Image.Image:
    """Any picture as upright RGB."""
    image = loaded.image
    findings.sizes[loaded.size] += 1
    findings.modes[image.mode] += 1
    if loaded.partial:
        findings.changes["damaged, used as far as they can be decoded"] += 1
    if image.mode == "RGB" and not image.info:
        return image
    turn = _UPRIGHT.get(_orientation(image))
    if image.mode.startswith("I;16"):
        # Pillow's own conversion clips at 255. The high byte is what it keeps of 16-bit colour.
        findings.changes["brought from 16 to 8 bits"] += 1
        image = Image.fromarray((np.asarray(image) >> 8).astype(np.uint8))
    if image.mode in ("I", "F"):
        raise UnusableError(
            f"has mode {image.mode}, values without a fixed range; scale them to 8 bits"
        )
    if image.has_transparency_data:
        findings.changes["transparency composited onto white"] += 1
        image = _on_white(image)
    elif image.mode != "RGB":
        image = image.convert("RGB")
    if turn is not None:
        findings.changes["turned upright as their EXIF data say"] += 1
        image = image.transpose(turn)
    return image


def _on_white(image: Image.Image) -> Image.Image:
    opaque, top = Image.new("RGB", image.size), 0
    for strip in strips(image):
        white = Image.new("RGBA", strip.size, "white")
        white.alpha_composite(strip.convert("RGBA"))
        opaque.paste(white.convert("RGB"), (0, top))
        top += strip.size[1]
    return opaque


def _orientation(image: Image.Image) -> int:
    """1 to 8; what damaged EXIF data don't say is 1."""
    try:
        return image.getexif().get(ExifTags.Base.Orientation, 1)
    except Exception:  # of Pillow's readers; the picture is whole
        return 1
