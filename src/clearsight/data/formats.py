"""Image files opened within limits: which formats, how large, and how damaged.

Files come from strangers: a few kilobytes can ask for gigabytes or minutes. What a header says is
judged before any pixel is decoded, so that one image takes at most about 5 s and 1 GiB.
"""

import ctypes
import io
import re
import stat
import threading
import warnings
import zlib
from collections.abc import Generator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import NamedTuple

from PIL import (
    AvifImagePlugin,
    BmpImagePlugin,
    GifImagePlugin,
    Image,
    ImageFile,
    JpegImagePlugin,
    PngImagePlugin,
    PpmImagePlugin,
    TiffImagePlugin,
    WebPImagePlugin,
)

MAX_MEGAPIXELS = 64
MAX_ASPECT = 64  # what `crop` scales a longer one to, before cutting, would take gigabytes
MAX_BYTES = 256 * 2**20
DRAFT_MEGAPIXELS = 16
DRAFT_SIDE = 1024  # px, as large as any `data.size`
IMAGE_SUFFIXES = (
    ".png", ".jpg", ".jpeg", ".jpe", ".jfif", ".webp", ".bmp", ".gif", ".tif", ".tiff", ".avif",
    ".ppm", ".pgm", ".pbm", ".pnm",
)  # fmt: skip

Plugin = type[ImageFile.ImageFile]
# Opened by their own class and not by Image.open: that one refuses a huge image without telling
# its width and height. It is also the allow-list of formats.
_FORMATS: dict[bytes, Plugin] = {
    b"\x89PNG\r\n\x1a\n": PngImagePlugin.PngImageFile,
    b"\xff\xd8\xff": JpegImagePlugin.JpegImageFile,
    b"RIFF": WebPImagePlugin.WebPImageFile,
    b"BM": BmpImagePlugin.BmpImageFile,
    b"GIF8": GifImagePlugin.GifImageFile,
    b"II*\x00": TiffImagePlugin.TiffImageFile,
    b"MM\x00*": TiffImagePlugin.TiffImageFile,
    b"II+\x00": TiffImagePlugin.TiffImageFile,  # BigTIFF
    b"MM\x00+": TiffImagePlugin.TiffImageFile,
    **{b"P%d" % kind: PpmImagePlugin.PpmImageFile for kind in range(1, 7)},
}
_AVIF_BRANDS = (b"ftypavif", b"ftypavis", b"ftypmif1", b"ftypmsf1")
_NAMES = "PNG, JPEG, WebP, BMP, GIF, TIFF, AVIF, PPM or PGM"
# What text tools and uploads leave in front of an image: blanks, line ends, a byte order mark.
_MOST_LEADING = 1024
_LEADING = b"\r\n\t \x00\xef\xbb\xbf"

# Megapixels that keep within 5 s and 1 GiB: these two hold the picture several times over.
_MEGAPIXELS = {WebPImagePlugin.WebPImageFile: 32, AvifImagePlugin.AvifImageFile: 32}
_PYTHON_MEGAPIXELS = 1  # of what Pillow decodes in Python: plain PPM, run-length encoded BMP
_SCANNED_MEGAPIXELS = 800  # times scans of a JPEG: each goes over the whole picture
_LARGE_PIXELS = 8_000_000
_one_large = threading.RLock()


class UnusableError(Exception):
    """Why an image can't be used, and what to do, as the end of a sentence."""


class Loaded(NamedTuple):
    """A decoded picture.

    - `image`: its pixels, of any mode; a large JPEG at a reduced scale
    - `size`: (width, height) in px, as its header says
    - `partial`: whether some of it could not be decoded
    """

    image: Image.Image
    size: tuple[int, int]
    partial: bool = False


def load_image(encoded: bytes, held: ExitStack, *, truncated: bool = False) -> Loaded:
    """The first picture of an image file's bytes, told by its content.

    A JPEG above `DRAFT_MEGAPIXELS` is decoded at the least of 1/2, 1/4 and 1/8 that leaves both
    sides `DRAFT_SIDE` px; its header alone decides, so that `data.size` changes nothing. `held`
    is closed when the caller is done with the pixels; until then no other thread decodes a large
    image. Raises `UnusableError`, for a file without its last bytes unless `truncated`.
    """
    encoded, plugin = _recognise(encoded)
    try:
        return _decode(plugin, encoded, held)
    except UnusableError:
        raise
    except Exception as error:  # Pillow's readers raise anything on damaged files
        return _rescued(plugin, encoded, held, error, truncated=truncated)


def header_size(encoded: bytes) -> tuple[int, int]:
    """(width, height) in px that the header of an image file says. Raises `UnusableError`."""
    encoded, plugin = _recognise(encoded)
    try:
        return plugin(io.BytesIO(encoded)).size
    except Exception as error:
        raise cannot_decode(error) from error


def read_file(path: Path) -> bytes:
    """The bytes of an image file. Raises `UnusableError`."""
    try:
        status = path.stat()
        if stat.S_ISDIR(status.st_mode):
            raise UnusableError("is a folder; name image files, or a folder that holds some")
        if not stat.S_ISREG(status.st_mode):  # opening a pipe could wait for ever
            raise UnusableError("is no regular file; give the image file itself")
        check_bytes(status.st_size)
        return path.read_bytes()
    except OSError as error:
        raise UnusableError(
            f"can't be read ({error.strerror}); check its path and permissions"
        ) from error


def check_bytes(size: int) -> None:
    """Raises `UnusableError` for a file of more bytes than an image to be classified has."""
    if size > MAX_BYTES:
        raise UnusableError(
            f"has {size / 2**20:,.0f} MiB, over the limit of {MAX_BYTES // 2**20} MiB; scale it "
            "down or remove it"
        )


def cannot_decode(error: Exception, remedy: str = "replace the file or remove it") -> UnusableError:
    """What to say of an image that Pillow failed on."""
    return UnusableError(f"can't be decoded ({str(error) or type(error).__name__}); {remedy}")


def check_size(size: tuple[int, int], megapixels: int = MAX_MEGAPIXELS) -> None:
    """Raises `UnusableError` for a width and height that no image to be classified has."""
    width, height = size
    if width * height > megapixels * 1_000_000:
        raise UnusableError(
            f"has {width:,} × {height:,} pixels, over the limit of {megapixels} megapixels; "
            "scale it down or remove it"
        )
    if max(size) > MAX_ASPECT * min(size):
        raise UnusableError(
            f"has {width:,} × {height:,} pixels, one side over {MAX_ASPECT:,} times the other; "
            "crop it or remove it"
        )


class _Quiet:
    """Keeps Pillow's warnings and libtiff's messages from the terminal, in all threads at once.

    The first to enter sets the filters of the process aside and the last to leave restores them:
    `warnings.catch_warnings` alone would mix up those of several threads.
    """

    def __init__(self) -> None:
        self._lock, self._users, self._borrowed = threading.Lock(), 0, ExitStack()

    def __enter__(self) -> None:
        with self._lock:
            self._users += 1
            if self._users == 1:
                self._borrowed.enter_context(warnings.catch_warnings())
                warnings.filterwarnings("ignore", module="PIL")
                self._borrowed.enter_context(_without_libtiff_messages())

    def __exit__(self, *_: object) -> None:
        with self._lock:
            self._users -= 1
            if not self._users:
                self._borrowed.close()


quiet = _Quiet()


@contextmanager
def _without_libtiff_messages() -> Generator[None]:
    """libtiff prints errors to stderr by itself. Pillow gives no access to its handler, but the
    library is linked to Pillow's."""
    try:
        set_handler = ctypes.CDLL(Image.core.__file__).TIFFSetErrorHandler
    except (OSError, AttributeError):  # linked statically, or absent
        yield
        return
    set_handler.restype, set_handler.argtypes = ctypes.c_void_p, [ctypes.c_void_p]
    before = set_handler(None)
    try:
        yield
    finally:
        set_handler(before)


def _recognise(encoded: bytes) -> tuple[bytes, Plugin]:
    """The image file without what stands in front of it, and the class that reads it."""
    if plugin := _plugin(encoded):
        return encoded, plugin
    head = encoded[:_MOST_LEADING]
    start = len(head) - len(head.lstrip(_LEADING))
    for at in (start, start - 3, start - 4):  # AVIF begins with up to four such bytes itself
        if at > 0 and (plugin := _plugin(head[at:])):
            return encoded[at:], plugin
    found = f"no {_NAMES} image" if encoded else "an empty file"
    raise UnusableError(f"is {found}; replace the file or remove it")


def _plugin(content: bytes) -> Plugin | None:
    if content[4:12] in _AVIF_BRANDS:
        return AvifImagePlugin.AvifImageFile
    return next((p for signature, p in _FORMATS.items() if content.startswith(signature)), None)


def _open(
    plugin: Plugin, encoded: bytes, held: ExitStack
) -> tuple[ImageFile.ImageFile, tuple[int, int]]:
    """The image with its header read and judged, and the size that this says."""
    image = plugin(io.BytesIO(encoded))
    size = image.size
    check_size(size, _MEGAPIXELS.get(plugin, MAX_MEGAPIXELS))
    pixels = size[0] * size[1]
    is_slow = pixels > _PYTHON_MEGAPIXELS * 1_000_000
    if is_slow and any(tile[0] in Image.DECODERS for tile in image.tile):
        raise UnusableError(
            f"has {size[0]:,} × {size[1]:,} pixels in an encoding that is slow to read; "
            "save it as PNG"
        )
    if isinstance(image, JpegImagePlugin.JpegImageFile):
        scans = encoded.count(b"\xff\xda")
        if scans * pixels > _SCANNED_MEGAPIXELS * 1_000_000:
            raise UnusableError(
                f"has {size[0]:,} × {size[1]:,} pixels in {scans} scans, which take too long to "
                "decode; save it anew or remove it"
            )
        if pixels > DRAFT_MEGAPIXELS * 1_000_000:
            image.draft(None, (DRAFT_SIDE, DRAFT_SIDE))
    if image.size[0] * image.size[1] > _LARGE_PIXELS:
        held.enter_context(_one_large)
    return image, size


def _decode(plugin: Plugin, encoded: bytes, held: ExitStack) -> Loaded:
    image, size = _open(plugin, encoded, held)
    image.load()
    return Loaded(image, size)


def _rescued(
    plugin: Plugin, encoded: bytes, held: ExitStack, problem: Exception, *, truncated: bool
) -> Loaded:
    """The picture of a file with damaged metadata, or what there is of it in a damaged file."""
    bare = _without_metadata(plugin, encoded)
    with suppress(Exception):
        return _decode(plugin, bare, held)
    partial = _partial(plugin, bare, held)
    if partial is None:
        raise cannot_decode(problem) from problem
    if not truncated:
        remedy = "replace the file, or use what is left of it with --truncated"
        raise cannot_decode(problem, remedy) from problem
    return partial


def _partial(plugin: Plugin, encoded: bytes, held: ExitStack) -> Loaded | None:
    """What can be decoded of a damaged file; None where that is nothing."""
    try:
        if plugin is JpegImagePlugin.JpegImageFile:
            encoded = _ended_jpeg(encoded)
        image, size = _open(plugin, encoded, held)
        with suppress(Exception):
            image.load()
        image.tile = []  # no more to come: the rows so far are the picture
        image.load()
        shades = image.getextrema()
    except Exception:
        return None
    bands = shades if isinstance(shades[0], tuple) else (shades,)
    is_empty = all(low == high for low, high in bands)
    return None if is_empty else Loaded(image, size, partial=True)


def _ended_jpeg(encoded: bytes) -> bytes:
    """With an end marker instead of a last segment that is cut off, if there is one: libjpeg then
    finishes with what it has, progressive scans included."""
    *_, last = re.finditer(rb"\xff[\xc0-\xcf\xda-\xfe]", encoded)
    end = last.end() + int.from_bytes(encoded[last.end() : last.end() + 2], "big")
    return encoded[: last.start() if end > len(encoded) else None] + b"\xff\xd9"


def _without_metadata(plugin: Plugin, encoded: bytes) -> bytes:
    """The same picture with no more beside it than its colours and orientation need, as far as
    that is known how."""
    with suppress(IndexError):  # the file breaks off within
        if plugin is PngImagePlugin.PngImageFile:
            return _bare_png(encoded)
        if plugin is JpegImagePlugin.JpegImageFile:
            return _bare_jpeg(encoded)
        if plugin is AvifImagePlugin.AvifImageFile:
            return encoded.replace(b"Exif", b"none")  # an item of a kind that nobody reads
    return encoded


def _bare_png(encoded: bytes) -> bytes:
    """Only the chunks that make the picture: https://www.w3.org/TR/png-3/#4Concepts.FormatChunks"""
    kept, at = [encoded[:8]], 8
    while at + 8 <= len(encoded):
        end = at + 12 + int.from_bytes(encoded[at : at + 4], "big")
        kind, checksum = encoded[at + 4 : at + 8], encoded[end - 4 : end]
        is_exif = kind == b"eXIf" and checksum == zlib.crc32(encoded[at + 4 : end - 4]).to_bytes(4)
        if is_exif or kind in (b"IHDR", b"PLTE", b"tRNS", b"IDAT", b"IEND"):
            kept.append(encoded[at:end])
        at = end
    return b"".join(kept)


def _bare_jpeg(encoded: bytes) -> bytes:
    """Without application segments and comments, but for EXIF and Adobe's word on the colours."""
    kept, at = [encoded[:2]], 2
    while encoded[at] == 0xFF and encoded[at + 1] != 0xDA:  # start of scan
        if encoded[at + 1] == 0xFF:  # fill
            at += 1
            continue
        end = at + 2 + int.from_bytes(encoded[at + 2 : at + 4], "big")
        kind, body = encoded[at + 1], encoded[at + 4 : end]
        is_metadata = 0xE0 <= kind <= 0xEF or kind == 0xFE
        says = body.startswith(b"Exif\0\0") or (body.startswith(b"Adobe") and len(body) >= 12)
        if says or not is_metadata:
            kept.append(encoded[at:end])
        at = end
    return b"".join([*kept, encoded[at:]])
