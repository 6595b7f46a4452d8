"""Every kind of image file becomes upright RGB, and what can't is refused by name."""

import io
import struct
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from clearsight.data.decoding import Findings, decode_records, read_image, to_rgb
from clearsight.data.images import content_id
from clearsight.data.records import Records
from clearsight.errors import DataError


def encode(image: Image.Image, kind: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def pixel(image: Image.Image, x: int = 0, y: int = 0) -> object:
    return image.getpixel((x, y))


@pytest.mark.parametrize(
    ("kind", "options"),
    [("PNG", {}), ("BMP", {}), ("WEBP", {"lossless": True}), ("JPEG", {"quality": 100})],
)
def test_reads_every_format(kind: str, options: dict[str, object]) -> None:
    image = read_image(encode(Image.new("RGB", (4, 3), (200, 100, 50)), kind, **options), "x")
    assert image.mode == "RGB"
    assert image.size == (4, 3)
    assert np.abs(np.asarray(image).astype(int) - (200, 100, 50)).max() <= 2


def test_reads_a_path_and_bytes_alike_whatever_the_suffix(tmp_path: Path) -> None:
    path = tmp_path / "misnamed.jpg"
    path.write_bytes(encode(Image.new("RGB", (2, 2), "red"), "PNG"))
    assert pixel(read_image(path, "x")) == (255, 0, 0)


def test_takes_the_first_frame_of_a_moving_picture() -> None:
    frames = [Image.new("RGB", (4, 4), c) for c in ("red", "lime", "blue")]
    moving = encode(frames[0], "GIF", save_all=True, append_images=frames[1:])
    assert pixel(read_image(moving, "x")) == (255, 0, 0)


@pytest.mark.parametrize(
    ("image", "expected"),
    [
        (Image.new("L", (2, 2), 77), (77, 77, 77)),
        (Image.new("1", (2, 2), 1), (255, 255, 255)),
        (Image.new("RGB", (2, 2), (9, 80, 200)).quantize(4), (9, 80, 200)),
        # 200 · 0.5 + 255 · 0.5: half transparent on white
        (Image.new("RGBA", (2, 2), (200, 0, 0, 128)), (227, 127, 127)),
        (Image.new("RGBA", (2, 2), (200, 0, 0, 0)), (255, 255, 255)),
        (Image.new("LA", (2, 2), (0, 0)), (255, 255, 255)),
    ],
    ids=["grey", "one bit", "palette", "half transparent", "transparent", "grey with alpha"],
)
def test_converts_every_mode_of_png(image: Image.Image, expected: tuple[int, ...]) -> None:
    assert pixel(read_image(encode(image, "PNG"), "x")) == expected


def test_lays_a_transparent_palette_colour_on_white() -> None:
    image = Image.new("P", (2, 1))
    image.putpalette([255, 0, 0, 0, 0, 255])
    image.putpixel((1, 0), 1)
    read = read_image(encode(image, "PNG", transparency=0), "x")
    assert (pixel(read, 0), pixel(read, 1)) == ((255, 255, 255), (0, 0, 255))


def test_scales_16_bits_by_their_high_byte() -> None:
    values = np.array([[0, 255, 256, 0x8000, 0xFFFF]], np.uint16)
    read = read_image(encode(Image.fromarray(values), "PNG"), "x")
    assert np.asarray(read)[0, :, 0].tolist() == [0, 0, 1, 128, 255]


def test_16_bit_colour_and_16_bit_grey_agree() -> None:
    # Pillow writes no 16-bit colour: a 1 × 1 PNG by hand.
    def chunk(kind: bytes, body: bytes) -> bytes:
        return (
            struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
        )

    header = struct.pack(">IIBBBBB", 1, 1, 16, 2, 0, 0, 0)
    row = b"\x00" + struct.pack(">HHH", 0x80FF, 0x1234, 0xFFFF)
    png = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(row))
    assert pixel(read_image(png + chunk(b"IEND", b""), "x")) == (0x80, 0x12, 0xFF)


def test_reads_cmyk() -> None:
    cyan = Image.new("CMYK", (8, 8), (255, 0, 0, 0))
    assert np.abs(np.array(pixel(read_image(encode(cyan, "JPEG"), "x"))) - (0, 255, 255)).max() < 4


def test_turns_upright_as_exif_says() -> None:
    image = Image.new("RGB", (16, 8), "black")
    image.paste("white", (0, 0, 8, 8))  # left half white
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned 90° clockwise: left becomes top
    read = read_image(encode(image, "JPEG", exif=exif, quality=95), "x")
    assert read.size == (8, 16)
    assert min(pixel(read, 4, 2)) > 240  # ty: ignore[invalid-argument-type]
    assert max(pixel(read, 4, 13)) < 15  # ty: ignore[invalid-argument-type]


def test_damaged_exif_data_do_not_spoil_the_picture() -> None:
    jpeg = encode(Image.new("RGB", (8, 8), "red"), "JPEG", exif=b"Exif\x00\x00garbage garbage")
    assert read_image(jpeg, "x").size == (8, 8)


def test_an_image_in_memory_is_treated_like_its_file() -> None:
    image = Image.fromarray(np.array([[0, 255, 256, 0xFFFF]], np.uint16))
    file = encode(image, "PNG")
    assert np.array_equal(np.asarray(to_rgb(image)), np.asarray(read_image(file, "x")))
    clear = Image.new("RGBA", (2, 2), (200, 0, 0, 128))
    assert pixel(to_rgb(clear)) == (227, 127, 127)


def test_an_image_without_a_fixed_range_is_refused() -> None:
    with pytest.raises(DataError, match=r"the image given has mode F.*scale them to 8 bits"):
        to_rgb(Image.new("F", (2, 2), 0.5))


def test_a_lazily_opened_truncated_image_is_refused() -> None:
    whole = encode(noise(), "PNG")
    lazy = Image.open(io.BytesIO(whole[: len(whole) // 2]))
    with pytest.raises(DataError, match="the image given can't be decoded"):
        to_rgb(lazy)


def noise(side: int = 64) -> Image.Image:
    return Image.fromarray(np.random.default_rng(0).integers(0, 255, (side, side, 3), np.uint8))


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP", "BMP", "GIF"])
def test_refuses_a_truncated_file_by_name(kind: str) -> None:
    whole = encode(noise(), kind)
    with pytest.raises(DataError, match=r"cat/1\.png: .*can't be decoded.*replace the file"):
        read_image(whole[: len(whole) // 2], "cat/1.png")


@pytest.mark.parametrize(
    ("content", "found"), [(b"", "an empty file"), (b"hello world", "no PNG, JPEG, WebP")]
)
def test_refuses_what_is_no_image(content: bytes, found: str) -> None:
    with pytest.raises(DataError, match=f"x: is {found}"):
        read_image(content, "x")


def test_refuses_a_missing_file(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="No such file"):
        read_image(tmp_path / "gone.png", "gone.png")


def bomb(kind: str) -> bytes:
    if kind == "PNG":
        small = bytearray(encode(Image.new("L", (1, 1)), "PNG"))
        small[16:24] = struct.pack(">II", 40_000, 40_000)
        small[29:33] = struct.pack(">I", zlib.crc32(small[12:29]))
    elif kind == "GIF":
        small = bytearray(encode(Image.new("L", (1, 1)), "GIF"))
        small[6:10] = struct.pack("<HH", 40_000, 40_000)
    else:
        small = bytearray(encode(Image.new("RGB", (8, 8)), "JPEG"))
        at = small.index(b"\xff\xc0") + 5
        small[at : at + 4] = struct.pack(">HH", 40_000, 40_000)
    return bytes(small)


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("kind", ["PNG", "GIF", "JPEG"])
def test_refuses_a_huge_image_by_its_header(kind: str) -> None:
    with pytest.raises(DataError, match=r"big: has 40,000 × 40,000 pixels.*64 megapixels"):
        read_image(bomb(kind), "big")


def records(images: list[bytes | Path | np.ndarray]) -> Records:
    return Records(
        images=images,
        labels=np.zeros(len(images), np.int64),
        classes=("a", "b"),
        parts=np.full(len(images), ""),
        locate=lambda i: f"image {i}",
    )


def test_decodes_records_in_order_and_reports_the_corrupt_ones() -> None:
    good = [encode(Image.new("L", (8, 8), value), "PNG") for value in range(10)]
    chunks = list(decode_records(records([*good[:4], b"bad", *good[4:]]), 8, "letterbox"))
    pixels = np.concatenate([c.pixels for c in chunks])
    assert pixels.shape == (10, 8, 8, 3)
    assert pixels[:, 0, 0, 0].tolist() == list(range(10))
    assert [p for c in chunks for p in c.positions] == [0, 1, 2, 3, *range(5, 11)]
    assert [place for c in chunks for place, _ in c.corrupt] == ["image 4"]
    assert [i for c in chunks for i in c.ids] == [content_id(image) for image in pixels]


def test_many_chunks_keep_their_order() -> None:
    grey = [np.full((4, 4), i % 251, np.uint8) for i in range(1000)]
    pixels = np.concatenate([c.pixels for c in decode_records(records(list(grey)), 4, "stretch")])
    assert pixels[:, 0, 0, 0].tolist() == [i % 251 for i in range(1000)]


@pytest.fixture
def sentences() -> Callable[..., tuple[str, ...]]:
    def describe(*images: bytes) -> tuple[str, ...]:
        found = Findings()
        for chunk in decode_records(records(list(images)), 8, "letterbox"):
            found.update(chunk.findings)
        return found.sentences(8, "letterbox")

    return describe


def test_says_what_was_met(sentences: Callable[..., tuple[str, ...]]) -> None:
    same = encode(Image.new("RGB", (8, 8)), "PNG")
    assert sentences(same, same) == ("2 images of 8 × 8 px; modes: RGB 2",)
    clear = encode(Image.new("RGBA", (20, 10)), "PNG")
    assert sentences(same, same, clear) == (
        "3 images of 2 sizes, 8 to 20 px wide and 8 to 10 high, fitted to 8 × 8 by letterbox; "
        "modes: RGB 2, RGBA 1",
        "transparency composited onto white: 1 of 3 images",
    )
