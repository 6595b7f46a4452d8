"""Image files as they are met: every format, damaged metadata, missing bytes, and traps."""

import io
import os
import re
import struct
import subprocess
import sys
import time
import warnings
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from PIL.TiffImagePlugin import IFDRational

from clearsight.data.decoding import read_image
from clearsight.data.formats import quiet
from clearsight.errors import DataError

KINDS = ("PNG", "JPEG", "WEBP", "BMP", "GIF", "TIFF", "AVIF", "PPM")
ORIENTATION, MAKE, X_RESOLUTION = 0x0112, 0x010F, 0x011A


def encode(image: Image.Image, kind: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def noise(width: int = 64, height: int = 48) -> Image.Image:
    values = np.random.default_rng(0).integers(0, 256, (height, width, 3), np.uint8)
    return Image.fromarray(values)


def same(a: Image.Image, b: Image.Image) -> bool:
    return np.array_equal(np.asarray(a), np.asarray(b))


def chunk(kind: bytes, body: bytes) -> bytes:
    """A chunk of a PNG file."""
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def segment(marker: int, body: bytes) -> bytes:
    """A segment of a JPEG file."""
    return bytes([0xFF, marker]) + struct.pack(">H", len(body) + 2) + body


@pytest.mark.parametrize("compression", ["raw", "tiff_lzw", "tiff_deflate", "packbits"])
def test_reads_tiff_as_it_is_compressed(compression: str) -> None:
    assert same(read_image(encode(noise(), "TIFF", compression=compression), "x"), noise())


def test_reads_bilevel_and_big_tiff() -> None:
    page = noise().convert("1")
    fax = encode(page, "TIFF", compression="group4")
    assert same(read_image(fax, "x"), page.convert("RGB"))
    assert same(read_image(encode(noise(), "TIFF", big_tiff=True), "x"), noise())


def test_a_16_bit_tiff_keeps_its_high_byte() -> None:
    values = np.array([[0, 255, 256, 0xFFFF]], np.uint16)
    read = read_image(encode(Image.fromarray(values), "TIFF"), "x")
    assert np.asarray(read)[0, :, 0].tolist() == [0, 0, 1, 255]


def test_reads_avif() -> None:
    flat = Image.new("RGB", (32, 16), (200, 100, 50))
    read = read_image(encode(flat, "AVIF", quality=90), "x")
    assert read.size == (32, 16)
    assert np.abs(np.asarray(read).astype(int) - (200, 100, 50)).max() < 6


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"P6\n2 1\n255\n\xff\x00\x00\x00\x00\xff", [[255, 0, 0], [0, 0, 255]]),
        (b"P5\n2 1\n255\n\x07\x09", [[7, 7, 7], [9, 9, 9]]),
        (b"P4\n2 1\n\x40", [[255, 255, 255], [0, 0, 0]]),  # in PBM 1 is black
        (b"P3\n2 1\n255\n255 0 0 0 0 255\n", [[255, 0, 0], [0, 0, 255]]),
        (b"P2\n# a comment\n2 1\n15\n15 0\n", [[255, 255, 255], [0, 0, 0]]),
    ],
    ids=["PPM", "PGM", "PBM", "plain PPM", "plain PGM of 4 bits"],
)
def test_reads_portable_maps(content: bytes, expected: list[list[int]]) -> None:
    assert np.asarray(read_image(content, "x"))[0].tolist() == expected


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("leading", [b"\n", b"\r\n\r\n", b"\xef\xbb\xbf", b"\0\0 "])
def test_reads_past_what_stands_in_front(kind: str, leading: bytes) -> None:
    content = encode(noise(), kind)
    assert same(read_image(leading + content, "x"), read_image(content, "x"))


def test_other_files_with_an_image_inside_are_no_images() -> None:
    jpeg = encode(noise(), "JPEG")
    with pytest.raises(DataError, match="x: is no PNG, JPEG"):
        read_image(b"ID3\x04" + jpeg, "x")
    with pytest.raises(DataError, match="x: is no PNG, JPEG"):
        read_image(b"\n" * 5000 + jpeg, "x")


TEXT = zlib.compress(b"x" * 2_000_000)
TOO_LONG = {
    "zTXt": b"key\0\0" + TEXT,
    "iTXt": b"key\0\1\0\0\0" + TEXT,
    "iCCP": b"key\0\0" + TEXT,
    "tEXt": b"key\0" + b"x" * 2_000_000,
    "eXIf": b"nothing of the kind",
}


@pytest.mark.parametrize("kind", TOO_LONG)
@pytest.mark.parametrize("at", [33, -12], ids=["before the pixels", "after the pixels"])
@pytest.mark.parametrize("is_damaged", [False, True])
def test_a_png_is_not_lost_for_its_metadata(kind: str, at: int, *, is_damaged: bool) -> None:
    plain = encode(noise(), "PNG")
    extra = bytearray(chunk(kind.encode(), TOO_LONG[kind]))
    extra[-1] ^= is_damaged  # its checksum
    assert same(read_image(plain[:at] + bytes(extra) + plain[at:], "x"), noise())


def test_a_png_keeps_its_transparency_and_orientation_without_metadata() -> None:
    image = noise().quantize(8)
    exif = Image.Exif()
    exif[ORIENTATION] = 6
    plain = encode(image, "PNG", transparency=0, exif=exif)
    long = plain[:33] + chunk(b"zTXt", TOO_LONG["zTXt"]) + plain[33:]
    assert same(read_image(long, "x"), read_image(plain, "x"))
    assert read_image(long, "x").size == (48, 64)


@pytest.mark.parametrize(
    "extra",
    [
        segment(0xE0, b"JFIF"),
        segment(0xEE, b"Adobe"),
        segment(0xE2, b"ICC_PROFILE\0"),
        segment(0xED, b"Photoshop 3.0\0" + b"8BIM\3\xed"),
        segment(0xE1, b"Exif\0\0nothing of the kind"),
        segment(0xE2, b"MPF\0nothing of the kind"),
    ],
    ids=["JFIF", "Adobe", "ICC", "Photoshop", "EXIF", "MPF"],
)
def test_a_jpeg_is_not_lost_for_its_metadata(extra: bytes) -> None:
    exif = Image.Exif()
    exif[ORIENTATION] = 6
    plain = encode(noise(), "JPEG", exif=exif)
    read = read_image(plain[:2] + extra + plain[2:], "x")
    assert read.mode == "RGB"
    if b"Exif" not in extra:
        assert same(read, read_image(plain, "x"))


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "AVIF", "TIFF"])
def test_a_zero_denominator_in_exif_does_not_stop_the_turn(kind: str) -> None:
    exif = Image.Exif()
    exif[ORIENTATION], exif[X_RESOLUTION] = 6, IFDRational(31, 41)
    content = encode(noise(), kind, exif=exif)
    order = "<II" if kind == "TIFF" else ">II"
    fraction, nothing = struct.pack(order, 31, 41), struct.pack(order, 31, 0)
    assert fraction in content
    damaged = content.replace(fraction, nothing)
    if kind == "PNG":  # with the checksum that fits
        at = damaged.index(b"eXIf")
        length = int.from_bytes(damaged[at - 4 : at], "big")
        renewed = chunk(b"eXIf", damaged[at + 4 : at + 4 + length])
        damaged = damaged[: at - 4] + renewed + damaged[at + 8 + length :]
    assert read_image(damaged, "x").size == (48, 64)


def test_damaged_exif_data_in_avif_do_not_spoil_the_picture() -> None:
    exif = Image.Exif()
    exif[MAKE] = "somebody"
    header = exif.tobytes()[6:14]
    content = encode(noise(), "AVIF", exif=exif)
    assert header in content
    assert read_image(content.replace(header, b"nonsense"), "x").size == (64, 48)


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "BMP", "GIF", "TIFF", "PPM"])
def test_what_is_left_of_a_truncated_file_is_used_on_request(kind: str) -> None:
    whole = encode(noise(), kind)
    cut = whole[: len(whole) * 2 // 3]
    with pytest.raises(DataError, match=r"cat/1\.png: can't be decoded.*with --truncated"):
        read_image(cut, "cat/1.png")
    read, expected = (np.asarray(read_image(c, "x", truncated=True)) for c in (cut, whole))
    kept = slice(-8, None) if kind == "BMP" else slice(8)  # BMP begins at the bottom
    assert np.array_equal(read[kept], expected[kept])
    assert not np.array_equal(read, expected)


def test_a_progressive_jpeg_without_its_last_scans_is_coarse() -> None:
    smooth = Image.radial_gradient("L").resize((64, 64)).convert("RGB")
    whole = encode(smooth, "JPEG", progressive=True)
    read = read_image(whole[: len(whole) * 3 // 4], "x", truncated=True)
    difference = np.asarray(read).astype(int) - np.asarray(smooth).astype(int)
    assert 0 < np.abs(difference).mean() < 20


def test_a_jpeg_that_lacks_its_last_bytes_is_refused_and_read_on_request(tmp_path: Path) -> None:
    whole = encode(noise(), "JPEG")
    path = tmp_path / "cut.jpg"
    path.write_bytes(whole[:-2])
    with pytest.raises(DataError, match=r"truncated.*with --truncated"):
        read_image(path, "x")
    assert same(read_image(path, "x", truncated=True), read_image(whole, "x"))


@pytest.mark.parametrize("kind", KINDS)
def test_nothing_is_made_of_a_file_without_pixels(kind: str) -> None:
    with pytest.raises(DataError, match=r"can't be decoded .*; replace the file or remove it"):
        read_image(encode(noise(), kind)[:40], "x", truncated=True)


def bad_fax() -> bytes:
    """A TIFF whose compressed lines libtiff complains of."""
    content = bytearray(encode(noise().convert("1"), "TIFF", compression="group4"))
    directory = struct.unpack("<I", content[4:8])[0]
    for at in range(30, directory, 7):
        content[at] ^= 0xFF
    return bytes(content)


def test_neither_pillow_nor_libtiff_writes_to_the_terminal(
    capfd: pytest.CaptureFixture[str], recwarn: pytest.WarningsRecorder
) -> None:
    palette = noise().quantize(4)
    exif = b"Exif\0\0II*\0\x08\0\0\0\x01\0\x12\1\3\0\1\0"  # breaks off within an entry
    for content in (
        encode(palette, "PNG", transparency=bytes([0, 9, 99, 255])),
        encode(noise(), "JPEG", exif=exif),
        bad_fax(),
        encode(noise(), "TIFF", compression="tiff_lzw")[:-20],
    ):
        try:
            read_image(content, "x", truncated=True)
        except DataError:
            continue
    assert capfd.readouterr() == ("", "")
    assert not recwarn.list


def test_the_filters_of_warnings_come_back_when_the_last_leaves() -> None:
    before = warnings.filters[:]
    first, second = quiet, quiet
    first.__enter__()
    second.__enter__()
    first.__exit__()
    assert warnings.filters != before
    second.__exit__()
    assert warnings.filters == before


def tall() -> bytes:
    """1 × 64,000,000 px in 124 kB."""
    packer = zlib.compressobj(9)
    million = b"\0\x80" * 1_000_000
    rows = b"".join(packer.compress(million) for _ in range(64)) + packer.flush()
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", 1, 64_000_000, 8, 0, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", rows) + chunk(b"IEND", b"")


def many_scans() -> bytes:
    """A progressive JPEG of 36 megapixels that goes over all of them 300 times."""
    grey = encode(Image.new("L", (6000, 6000), 99), "JPEG", progressive=True, quality=10)
    last = grey[grey.rindex(b"\xff\xda") : -2]
    return grey[:-2] + last * 300 + grey[-2:]


def flat(kind: str, width: int, height: int, mode: str = "RGB", **options: object) -> bytes:
    return encode(Image.new(mode, (width, height), 90), kind, **options)


TRAPS: dict[str, tuple[Callable[[], bytes], str]] = {
    "a line of a pixel's width": (tall, "one side over 64 times the other"),
    "a JPEG of 300 scans": (many_scans, r"in 30\d scans"),
    "the largest JPEG": (lambda: flat("JPEG", 8000, 8000), ""),
    "too large a WebP": (lambda: flat("WEBP", 8000, 5000), "limit of 32 megapixels"),
    "the largest plain PPM": (lambda: b"P3 1000 1000 255 " + b"9 99 9 " * 1_000_000, ""),
    "too large a plain PPM": (lambda: b"P3 8000 8000 255 1 2 3", "slow to read; save it as PNG"),
}
LARGEST = {
    "PNG": lambda: flat("PNG", 8000, 8000, "RGBA"),
    "the longest PNG": lambda: flat("PNG", 51_200, 800),
    "TIFF": lambda: flat("TIFF", 8000, 8000, "CMYK", compression="tiff_lzw"),
    "WebP": lambda: flat("WEBP", 8000, 4000, "RGBA"),
}
MEASURE = """
import re, sys, time
from pathlib import Path
from clearsight.data.decoding import read_image
from clearsight.data.images import content_id, fit_image
from clearsight.errors import DataError
said, start = "", time.process_time()
try:
    image = read_image(Path(sys.argv[1]), "x")
    content_id(image), fit_image(image, 1024, "crop")
except DataError as error:
    said = str(error)
peak = re.search(r"VmHWM:\\s+(\\d+)", Path("/proc/self/status").read_text())[1]
print(time.process_time() - start, int(peak) / 2**20, said)
"""


@pytest.mark.parametrize("trap", TRAPS)
def test_one_image_takes_at_most_5_seconds_and_a_gibibyte(trap: str, tmp_path: Path) -> None:
    make, refusal = TRAPS[trap]
    said = measured(make(), tmp_path / "image")
    assert re.search(refusal, said) if refusal else said == ""


@pytest.mark.slow
@pytest.mark.parametrize("kind", LARGEST)
def test_the_largest_image_takes_at_most_5_seconds_and_a_gibibyte(
    kind: str, tmp_path: Path
) -> None:
    assert measured(LARGEST[kind](), tmp_path / "image") == ""


def measured(content: bytes, path: Path) -> str:
    """What reading the image was refused with, in a process of its own, within the limits."""
    path.write_bytes(content)
    result = subprocess.run(
        [sys.executable, "-c", MEASURE, path],
        capture_output=True, text=True, check=True, timeout=60, env=os.environ,
    )  # fmt: skip
    seconds, gibibytes, said = result.stdout.rstrip("\n").split(" ", 2)
    assert float(seconds) < 5  # of the processor's time, so that a busy machine fails nothing
    assert float(gibibytes) < 1
    return said


def test_a_file_of_gigabytes_is_refused_before_it_is_read(tmp_path: Path) -> None:
    path = tmp_path / "big.png"
    with path.open("wb") as file:
        file.write(b"\x89PNG\r\n\x1a\n")
        file.truncate(50 * 2**30)  # sparse
    with pytest.raises(DataError, match=r"has 51,200 MiB, over the limit of 256 MiB"):
        read_image(path, "x")


def test_what_is_no_regular_file_is_refused_before_it_is_opened(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.png")
    (tmp_path / "loop.png").symlink_to("loop.png")
    (tmp_path / "null.png").symlink_to("/dev/null")
    (tmp_path / "folder.png").mkdir()
    for name in ("pipe.png", "null.png"):
        with pytest.raises(DataError, match=f"{name}: is no regular file"):
            read_image(tmp_path / name, name)
    with pytest.raises(DataError, match=r"folder\.png: is a folder; name image files"):
        read_image(tmp_path / "folder.png", "folder.png")
    with pytest.raises(DataError, match=r"loop\.png: can't be read \(Too many levels"):
        read_image(tmp_path / "loop.png", "loop.png")


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("truncated", [False, True])
def test_flipped_bytes_give_an_image_or_a_data_error(kind: str, *, truncated: bool) -> None:
    rng = np.random.default_rng(7)
    whole = encode(noise(24, 20), kind)
    read = 0
    for trial in range(150):
        damaged = bytearray(whole)
        # Headers decide most: half of the flips fall there.
        span = 64 if trial % 2 else len(damaged)
        for at in rng.integers(0, min(span, len(damaged)), rng.integers(1, 6)):
            damaged[at] = rng.integers(256)
        start = time.process_time()
        try:
            image = read_image(bytes(damaged), "x", truncated=truncated)
        except DataError:
            continue
        finally:
            assert time.process_time() - start < 5
        assert image.mode == "RGB"
        read += 1
    assert read > 0


@pytest.mark.parametrize(
    "content", [b"\xff\xd8\xff", b"\xff\xd8\xff\x00\xff\x00", b"\xff\xd8\xff\xe0"]
)
def test_a_jpeg_that_only_begins_like_one_is_refused(content: bytes) -> None:
    with pytest.raises(DataError, match=r"x: can't be decoded"):
        read_image(content, "x", truncated=True)
