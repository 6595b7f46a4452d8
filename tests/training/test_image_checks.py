"""Damaged pixels and labels are found before a model sees them, and sound sets pass in silence."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pytest
from PIL import Image, ImageDraw

from clearsight.data.arrays import digits_source
from clearsight.data.cache import cached
from clearsight.training.findings import Finding
from clearsight.training.image_checks import check_images

SOME = 120


def scenes(n: int = SOME, side: int = 32) -> tuple[np.ndarray, np.ndarray]:
    """As of a camera: a bright shape of the class's kind on a coloured gradient, and grain."""
    rng = np.random.default_rng(0)
    y, x = np.mgrid[:side, :side] / side
    labels = np.arange(n) % 4
    images = np.empty((n, side, side, 3))
    for image, label in zip(images, labels, strict=True):
        a, b, c = rng.normal(0, 90, (3, 3))
        image[:] = 120 + a * (x[..., None] - 0.5) + b * (y[..., None] - 0.5) + c / 4
        u, v = x - rng.uniform(0.3, 0.7), y - rng.uniform(0.3, 0.7)
        shape = (u**2 + v**2 < 0.06, np.abs(u) < 0.12, np.abs(v) < 0.12, np.abs(u - v) < 0.15)
        image[shape[label]] += rng.uniform(60, 110, 3)
    images += rng.normal(0, 5, images.shape)
    return images.clip(0, 255).astype(np.uint8), labels


@dataclass
class Drawn:
    """Pages of white, drawn on by `draw`, which gets the drawing, the label and a generator."""

    side: int
    draw: Callable

    def __call__(self) -> tuple[np.ndarray, np.ndarray]:
        rng = np.random.default_rng(0)
        pages = []
        for k in range(SOME):
            page = Image.new("RGB", (self.side, self.side), "white")
            self.draw(ImageDraw.Draw(page), k % 2, rng)
            pages.append(np.asarray(page))
        return np.stack(pages), np.arange(SOME) % 2


def sketch(draw: ImageDraw.ImageDraw, label: int, rng: np.random.Generator) -> None:
    x, y, size = (int(v) for v in rng.integers(10, 40, 3))
    shape = draw.rectangle if label else draw.ellipse
    shape((x, y, x + size, y + size), outline="black", width=2)


def text(draw: ImageDraw.ImageDraw, label: int, rng: np.random.Generator) -> None:
    for y in range(4, 90, 16 if label else 11):
        draw.text((4, y), "".join(map(chr, rng.integers(97, 123, 15))), fill="black")


def icon(draw: ImageDraw.ImageDraw, label: int, rng: np.random.Generator) -> None:
    colours = [tuple(int(v) for v in rng.integers(0, 256, 3)) for _ in range(2)]
    draw.rectangle((0, 0, 200, 200), fill=colours[0])
    x, y = (int(v) for v in rng.integers(5, 30, 2))
    shape = draw.rectangle if label else draw.ellipse
    shape((x, y, x + 25, y + 25), fill=colours[1])


def digits() -> tuple[np.ndarray, np.ndarray]:
    images = cached(digits_source(), 32, "letterbox")
    return images.images[:400].copy(), images.labels[:400]


def scans() -> tuple[np.ndarray, np.ndarray]:
    images = np.zeros((SOME, 64, 64, 3), np.uint8)
    rng = np.random.default_rng(0)
    for k, image in enumerate(images):
        x, y, value = rng.integers(10, 40), rng.integers(10, 40), rng.integers(60, 255)
        height, width = ((14, 14), (7, 28))[k % 2]
        image[y : y + height, x : x + width] = value
    return images, np.arange(SOME) % 2


def board(cell: int) -> Callable[[], tuple[np.ndarray, np.ndarray]]:
    """Checkerboards of 128 px, and stripes."""

    def make() -> tuple[np.ndarray, np.ndarray]:
        y, x = np.indices((128, 128)) // cell
        patterns = np.stack([(x + y) % 2, y % 2])
        levels = np.random.default_rng(0).integers(100, 255, SOME)
        labels = np.arange(SOME) % 2
        return grey(patterns[labels] * levels[:, None, None]), labels

    return make


def grey(values: np.ndarray) -> np.ndarray:
    """[N, H, W] → uint8 [N, H, W, 3]."""
    return np.repeat(values[..., None], 3, 3).astype(np.uint8)


def binary() -> tuple[np.ndarray, np.ndarray]:
    images, labels = scenes()
    return grey(255 * (images.mean(3) > 130)), labels


def of_scenes(change: Callable[[np.ndarray], np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    images, labels = scenes()
    return change(images), labels


def found(images: np.ndarray, labels: np.ndarray, classes: int | None = None) -> list[Finding]:
    names = [f"class{k}" for k in range(classes or int(labels.max()) + 1)]
    return check_images(images, labels.astype(np.int64), np.arange(len(images)), names)


SOUND = {
    "scenes": scenes,
    "grey scenes": lambda: of_scenes(lambda images: grey(images.mean(3))),
    "dark scenes": lambda: of_scenes(lambda images: images // 5),
    "black and white": binary,
    "digits": digits,
    "sketches": Drawn(96, sketch),
    "text": Drawn(96, text),
    "flat icons": Drawn(64, icon),
    "scans on black": scans,
    **{f"checkerboards of {cell} px": board(cell) for cell in (1, 2, 3, 8)},
}


@pytest.mark.parametrize("kind", SOUND)
def test_sound_sets_pass_in_silence(kind: str) -> None:
    assert found(*SOUND[kind]()) == []


@pytest.mark.parametrize("kind", SOUND)
@pytest.mark.parametrize("n", [2, 6])
def test_so_do_a_few_images_of_them(kind: str, n: int) -> None:
    images, labels = SOUND[kind]()
    labels = np.unique(labels[:n], return_inverse=True)[1]
    assert found(images[:n], labels) == []


def test_colours_alone_are_sound() -> None:
    rng = np.random.default_rng(0)
    colours = rng.integers(0, 256, (SOME, 1, 1, 3), dtype=np.uint8)
    assert found(np.tile(colours, (1, 32, 32, 1)), (colours[:, 0, 0, 0] > 127).astype(int)) == []


def test_one_image_per_class_and_many_classes_are_sound() -> None:
    images, _ = scenes(150)
    assert found(images, np.arange(150)) == []
    assert found(images, np.arange(150) // 2) == []


def errors(findings: list[Finding]) -> str:
    return " ".join(f.message for f in findings if f.level == "error")


FAULTS = {
    "all divided": (lambda images: images // 255, "look scaled to 0–1 before they were stored"),
    "half divided": (
        lambda images: np.where(np.arange(SOME)[:, None, None, None] % 2, images, images / 255),
        "60 of 120 images have no pixel above 1",
    ),
    "half divided, rounded": (
        lambda images: np.where(
            np.arange(SOME)[:, None, None, None] % 2, images, np.round(images / 255)
        ),
        "60 of 120 images have no pixel above 1",
    ),
    "times two": (lambda images: images.astype(int) * 2, "wrapped around"),
    "shifted": (lambda images: images.astype(int) + 90, "wrapped around"),
    "normalised": (lambda images: (images / 255 - 0.5) / 0.25 * 255, "wrapped around"),
    "channels first": (
        lambda images: images.transpose(0, 3, 1, 2).reshape(images.shape),
        "transpose them to",
    ),
    "channels first, grey": (
        lambda images: grey(images.mean(3)).transpose(0, 3, 1, 2).reshape(images.shape),
        "transpose them to",
    ),
    "noise": (
        lambda images: np.random.default_rng(1).integers(0, 256, images.shape),
        "they look like noise",
    ),
}  # fmt: skip


@pytest.mark.parametrize("fault", FAULTS)
def test_damaged_pixels_are_an_error_that_says_what_happened(fault: str) -> None:
    damage, message = FAULTS[fault]
    images, labels = scenes()
    damaged = damage(images).astype(int).astype(np.uint8)  # wraps, as numpy does
    assert message in errors(found(np.ascontiguousarray(damaged), labels))


def test_shuffled_pixels_are_named_though_brightness_still_tells_something() -> None:
    images, labels = scenes()
    shuffled = np.random.default_rng(1).permuted(images.reshape(SOME, -1), axis=1)
    messages = [finding.message for finding in found(shuffled.reshape(images.shape), labels)]
    assert any("in 120 of 120 images neighbouring pixels do not correlate" in m for m in messages)


def test_values_that_wrapped_where_there_is_black_are_found() -> None:
    # 255 times a value is its negative in uint8, and 0 stays 0 amid what became 251 to 255.
    images, labels = scenes()
    dark = np.maximum(images.astype(int) - 40, 0)
    assert "wrapped around" in errors(found((dark * 255 % 256).astype(np.uint8), labels))
    assert found(dark.astype(np.uint8), labels) == []


def test_codes_whose_pixels_do_not_correlate_but_have_to_do_with_the_label_are_a_warning() -> None:
    rng = np.random.default_rng(0)
    labels = np.arange(SOME) % 2
    patterns = rng.integers(0, 256, (2, 16, 16, 3))
    noise = rng.integers(0, 256, (SOME, 16, 16, 3))
    images = np.where(rng.random(noise.shape) < 0.5, patterns[labels], noise).astype(np.uint8)
    assert [(f.level, f.kind) for f in found(images, labels)] == [("warning", "pixels")]


def test_empty_images_are_counted() -> None:
    images, labels = scans()
    images[::3] = 0
    assert any(
        "40 of 120 images are one constant value" in f.message for f in found(images, labels)
    )


def test_shuffled_labels_are_a_warning_with_both_numbers() -> None:
    images, labels = scenes()
    (finding,) = found(images, np.random.default_rng(3).permutation(labels))
    assert (finding.level, finding.kind) == ("warning", "labels")
    assert "a linear probe on 120 training images of 4 classes reaches" in finding.message
    assert "no better than with shuffled labels" in finding.message


def test_labels_counted_from_one_are_an_error() -> None:
    images, labels = scenes()
    assert "labels look counted from 1" in errors(found(images, labels + 1, classes=5))


def test_other_classes_without_images_are_a_warning() -> None:
    images, labels = scenes()
    (finding,) = found(images, labels, classes=6)
    assert finding.level == "warning"
    assert "2 of 6 classes have no training images ('class4', 'class5')" in finding.message


def test_only_the_training_part_is_looked_at() -> None:
    images, labels = scenes()
    images[60:] = 0
    names = [f"class{k}" for k in range(4)]
    assert check_images(images, labels, np.arange(60), names) == []
