"""Encoded images to pixels, the same way for training, inference and audits.

`read_image` makes one RGB image of one file; `decode_records` makes a whole data set's pixels, on
all cores.
"""

import io
import os
import struct
from collections import Counter
from collections.abc import Generator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

import numpy as np
from PIL import (
    BmpImagePlugin,
    ExifTags,
    GifImagePlugin,
    Image,
    ImageOps,
    JpegImagePlugin,
    PngImagePlugin,
    WebPImagePlugin,
)

from clearsight.data.images import Fit, content_id, fit_image
from clearsight.data.records import Records
from clearsight.errors import DataError

MAX_MEGAPIXELS = 64
IMAGE_SUFFIXES = (".png", ".jpg", ".jpeg", ".jpe", ".jfif", ".webp", ".bmp", ".gif")

# Opened by their own class and not by Image.open: that one refuses a huge image without telling
# its width and height, and warns on stderr below our limit. It is also the allow-list of formats.
_FORMATS = {
    b"\x89PNG\r\n\x1a\n": PngImagePlugin.PngImageFile,
    b"\xff\xd8\xff": JpegImagePlugin.JpegImageFile,
    b"RIFF": WebPImagePlugin.WebPImageFile,
    b"BM": BmpImagePlugin.BmpImageFile,
    b"GIF8": GifImagePlugin.GifImageFile,
}
# What Pillow's readers raise on damaged files, by their source.
_DAMAGED = (
    OSError, SyntaxError, ValueError, EOFError, IndexError, TypeError, KeyError, struct.error,
    Image.DecompressionBombError,
)  # fmt: skip
_CHUNK = 256  # images, at most
_LOOKED_AT = 32  # images by which the size of a data set is judged


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
    their content ids; `corrupt` holds (place, reason) of those that are missing here."""

    pixels: np.ndarray
    positions: list[int]
    ids: list[str]
    corrupt: list[tuple[str, str]]
    findings: Findings


def read_image(encoded: bytes | Path, name: str) -> Image.Image:
    """One image file, or its bytes, as an upright RGB image of 8 bits per channel.

    PNG, JPEG, WebP, BMP and GIF (of moving pictures the first frame), known by their content. EXIF
    rotation is applied, transparency lies on white, 16-bit values keep their high byte. Raises
    `DataError`, naming `name`, for anything else, for damaged files, and above 64 megapixels,
    which is known from the header alone.
    """
    try:
        return _decode(encoded, Findings())
    except _UnusableError as error:
        raise DataError(f"{name}: {error}") from error


def to_rgb(image: Image.Image) -> Image.Image:
    """An opened Pillow image as `read_image` would give its file. Raises `DataError`."""
    try:
        return _decode(image, Findings())
    except _UnusableError as error:
        raise DataError(f"the image given {error}") from error


def longest_side(records: Records) -> int:
    """The longer side, in px, of the largest among a few of the records' images; at least 32."""
    sides = [32]
    for i in range(0, len(records.images), max(1, len(records.images) // _LOOKED_AT)):
        try:
            sides += _decode(records.images[i], Findings()).size
        except _UnusableError:  # reported when it is decoded for good
            continue
    return max(sides)


def decode_records(records: Records, size: int, fit: Fit) -> Generator[Chunk]:
    """The records' images, fitted, in order, in chunks decoded on all cores.

    Threads are enough: Pillow works outside the interpreter's lock.
    """
    n, cores = len(records.images), os.cpu_count() or 1
    step = min(_CHUNK, max(1, n // (8 * cores)))  # some for every core, in a small set too
    with ThreadPoolExecutor(cores) as pool:
        yield from pool.map(
            lambda start: _decode_chunk(records, range(start, min(start + step, n)), size, fit),
            range(0, n, step),
        )


def _decode_chunk(records: Records, span: range, size: int, fit: Fit) -> Chunk:
    images = records.images[span.start : span.stop]
    pixels = np.empty((len(images), size, size, 3), np.uint8)
    findings = Findings()
    positions: list[int] = []
    ids: list[str] = []
    corrupt: list[tuple[str, str]] = []
    for position, item in zip(span, images, strict=True):
        try:
            rgb = _decode(item, findings)
        except _UnusableError as error:
            corrupt.append((records.locate(position), str(error)))
            continue
        row = pixels[len(ids)]
        row[:] = fit_image(rgb, size, fit)
        positions.append(position)
        ids.append(content_id(row))
    return Chunk(pixels[: len(ids)], positions, ids, corrupt, findings)


class _UnusableError(Exception):
    """Why an image can't be used, and what to do, as the end of a sentence."""


def _decode(encoded: bytes | Path | np.ndarray | Image.Image, findings: Findings) -> Image.Image:
    if isinstance(encoded, np.ndarray):
        return _convert(Image.fromarray(encoded), findings)
    try:
        if isinstance(encoded, Image.Image):
            encoded.load()
            return _convert(encoded, findings)
        if isinstance(encoded, bytes):
            return _decode_file(io.BytesIO(encoded), findings)
        with encoded.open("rb") as file:
            return _decode_file(file, findings)
    except _DAMAGED as error:
        if isinstance(error, OSError) and error.errno:  # the system's, not Pillow's
            raise _UnusableError(
                f"can't be read ({error.strerror}); check its path and permissions"
            ) from error
        raise _UnusableError(
            f"can't be decoded ({error}); replace the file or remove it"
        ) from error


def _decode_file(file: BinaryIO, findings: Findings) -> Image.Image:
    head = file.read(16)
    file.seek(0)
    plugin = next((p for signature, p in _FORMATS.items() if head.startswith(signature)), None)
    if plugin is None:
        found = "an empty file" if not head else "no PNG, JPEG, WebP, BMP or GIF image"
        raise _UnusableError(f"is {found}; replace the file or remove it")
    image = plugin(file)
    width, height = image.size
    if width * height > MAX_MEGAPIXELS * 1_000_000:
        raise _UnusableError(
            f"has {width:,} × {height:,} pixels, over the limit of {MAX_MEGAPIXELS} megapixels; "
            "scale it down or remove it"
        )
    image.load()
    return _convert(image, findings)


def _convert(image: Image.Image, findings: Findings) -> Image.Image:
    """Any Pillow image as upright RGB."""
    findings.sizes[image.size] += 1
    findings.modes[image.mode] += 1
    if image.mode == "RGB" and not image.info:
        return image
    if _orientation(image) != 1:
        findings.changes["turned upright as their EXIF data say"] += 1
        image = ImageOps.exif_transpose(image)
    if image.mode.startswith("I;16"):
        # Pillow's own conversion clips at 255. The high byte is what it keeps of 16-bit colour.
        findings.changes["brought from 16 to 8 bits"] += 1
        image = Image.fromarray((np.asarray(image) >> 8).astype(np.uint8))
    if image.mode in ("I", "F"):
        raise _UnusableError(
            f"has mode {image.mode}, values without a fixed range; scale them to 8 bits"
        )
    if image.has_transparency_data:
        findings.changes["transparency laid on white"] += 1
        white = Image.new("RGBA", image.size, "white")
        white.alpha_composite(image.convert("RGBA"))
        image = white
    return image.convert("RGB")


def _orientation(image: Image.Image) -> int:
    try:
        return image.getexif().get(ExifTags.Base.Orientation, 1)
    except _DAMAGED:
        return 1  # damaged EXIF data say nothing, but the picture is whole
