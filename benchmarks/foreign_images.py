"""Images that a classifier of CIFAR-10 was not trained on, each uint8 [N, S, S, 3] and seeded.

`made_outliers` are made from images of the data set itself: scores are compared by
them. `foreign_sets` are from elsewhere: noise, drawings, and images that packages bring along. The
shipped score is judged by them, and nothing is chosen by them.
"""

from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

PATCH = 8  # px, of 32
LETTERS = "ABCDEFGHJKLMNPQRSTUVWXYZabdefghkmnqrtyßøþΓΔΘΛΞΠΣΦΨΩαβγδλμξπφψωБДЖИЛФЦЧШЩЭЮЯ2345679&@§?"
FONTS = ("DejaVuSans.ttf", "DejaVuSans-Bold.ttf", "DejaVuSerif.ttf", "DejaVuSerif-Italic.ttf")


def made_outliers(images: np.ndarray, rng: np.random.Generator) -> dict[str, np.ndarray]:
    """`images`, uint8 [N, S, S, 3] with N ≥ 2, spoilt in six ways."""
    from scipy.ndimage import gaussian_filter

    n, side = images.shape[:2]
    others = images[np.roll(rng.permutation(n), 1)]
    corners = rng.integers(0, side - PATCH, (n, 2))
    turned = gaussian_filter(np.rot90(images, 1, (1, 2)).astype(np.float32), (0, 1.5, 1.5, 0))
    return {
        "tiles in another order": _shuffled_tiles(images, rng),
        "two images, mixed": ((images.astype(np.uint16) + others) // 2).astype(np.uint8),
        "two images, a half of each": np.concatenate(
            [images[:, :, : side // 2], others[:, :, side // 2 :]], 2
        ),
        "a sixteenth, enlarged": _fitted(
            (im[y : y + PATCH, x : x + PATCH] for im, (y, x) in zip(images, corners, strict=True)),
            side,
        ),
        "turned by 90° and blurred": turned.round().clip(0, 255).astype(np.uint8),
        "negative": 255 - images,
    }


def foreign_sets(side: int, n: int, rng: np.random.Generator) -> dict[str, np.ndarray]:
    """At most `n` images of `side` × `side` px of each kind."""
    return {
        "noise": _noise(side, n, rng),
        "drawn textures": _drawn_textures(side, n, rng),
        "photographed textures": _crops(("brick", "grass", "gravel"), side, n, rng),
        "digits": _digits(side, n),
        "letters": _letters(side, n, rng),
        "faces": _faces(side, n),
        "photos of other things": _photos(side, n, rng),
    }


def _noise(side: int, n: int, rng: np.random.Generator) -> np.ndarray:
    """Half uniform, half normal, drawn for each pixel and channel."""
    uniform = rng.uniform(0, 256, (n // 2, side, side, 3))
    normal = rng.normal(128, 64, (n - n // 2, side, side, 3))
    return np.concatenate([uniform, normal]).clip(0, 255).astype(np.uint8)


def _drawn_textures(side: int, n: int, rng: np.random.Generator) -> np.ndarray:
    """Stripes, checks, rings, cells and clouds in turn, each between two random colours."""
    from scipy.ndimage import gaussian_filter

    y, x = np.mgrid[:side, :side] / side

    def stripes() -> np.ndarray:
        angle, count = rng.uniform(0, np.pi), rng.uniform(2, 8)
        return np.sin(2 * np.pi * count * (x * np.cos(angle) + y * np.sin(angle)))

    def checks() -> np.ndarray:
        count = rng.integers(3, 10)
        return np.sign(np.sin(np.pi * count * x + 0.1) * np.sin(np.pi * count * y + 0.1))

    def rings() -> np.ndarray:
        centre = rng.uniform(0, 1, 2)
        return np.sin(2 * np.pi * rng.uniform(3, 8) * np.hypot(y - centre[0], x - centre[1]))

    def cells() -> np.ndarray:
        points = rng.uniform(0, 1, (rng.integers(8, 25), 2))
        nearest = np.hypot(y[..., None] - points[:, 0], x[..., None] - points[:, 1]).min(2)
        return nearest / nearest.max() * 2 - 1

    def clouds() -> np.ndarray:
        field = gaussian_filter(rng.normal(size=(side, side)), rng.uniform(1, 4))
        return field / np.abs(field).max()

    kinds: list[Callable[[], np.ndarray]] = [stripes, checks, rings, cells, clouds]
    drawn = []
    for number in range(n):
        share = (kinds[number % len(kinds)]()[..., None] + 1) / 2
        dark, light = rng.uniform(0, 255, (2, 3))
        drawn.append(dark + share * (light - dark))
    return np.stack(drawn).clip(0, 255).astype(np.uint8)


def _digits(side: int, n: int) -> np.ndarray:
    """scikit-learn's handwritten digits, 8 px enlarged."""
    from sklearn.datasets import load_digits

    return _fitted((_rgb(image * 255 / 16) for image in load_digits().images[:n]), side)


def _letters(side: int, n: int, rng: np.random.Generator) -> np.ndarray:
    """Latin, Greek and Cyrillic letters of the fonts that matplotlib brings along, in colour."""
    from matplotlib import get_data_path

    fonts = [ImageFont.truetype(Path(get_data_path(), "fonts/ttf", name), 96) for name in FONTS]
    drawn = []
    for _ in range(n):
        ground, ink = rng.integers(0, 256, (2, 3))
        image = Image.new("RGB", (128, 128), tuple(ground.tolist()))
        draw, where = ImageDraw.Draw(image), (64, 64)
        letter, font = LETTERS[rng.integers(len(LETTERS))], fonts[rng.integers(len(fonts))]
        draw.text(where, letter, fill=tuple(ink.tolist()), font=font, anchor="mm")
        drawn.append(np.asarray(image))
    return _fitted(drawn, side)


def _faces(side: int, n: int) -> np.ndarray:
    """The 100 faces, grey and of 25 px, of Labeled Faces in the Wild in scikit-image."""
    from skimage.data import lfw_subset

    return _fitted((_rgb(face * 255) for face in lfw_subset()[:100][:n]), side)


def _photos(side: int, n: int, rng: np.random.Generator) -> np.ndarray:
    """Squares cut out of photos that show none of CIFAR-10's classes."""
    from sklearn.datasets import load_sample_images

    names = ("coffee", "coins", "hubble_deep_field", "immunohistochemistry", "moon", "retina")
    return _crops((*load_sample_images().images, *names), side, n, rng)


def _crops(
    photos: Iterable[str | np.ndarray], side: int, n: int, rng: np.random.Generator
) -> np.ndarray:
    """`n` random squares of photos, in turn, of `side` px to half the photo, fitted to `side`.

    A photo is pixels, or the name of a function in `skimage.data` whose image is in its package.
    """
    import skimage.data

    pixels = [getattr(skimage.data, p)() if isinstance(p, str) else p for p in photos]
    cut = []
    for number in range(n):
        photo = pixels[number % len(pixels)]
        length = int(rng.integers(side, min(photo.shape[:2]) // 2))
        top, left = (int(rng.integers(0, extent - length)) for extent in photo.shape[:2])
        square = photo[top : top + length, left : left + length]
        cut.append(square[..., :3] if square.ndim == 3 else _rgb(square))
    return _fitted(cut, side)


def _shuffled_tiles(images: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    n, side = images.shape[:2]
    count = side // PATCH
    tiles = images.reshape(n, count, PATCH, count, PATCH, 3).swapaxes(2, 3)
    tiles = tiles.reshape(n, count**2, PATCH, PATCH, 3)
    shuffled = np.stack([tiles[k, rng.permutation(count**2)] for k in range(n)])
    shuffled = shuffled.reshape(n, count, count, PATCH, PATCH, 3).swapaxes(2, 3)
    return shuffled.reshape(images.shape)


def _fitted(images: Iterable[np.ndarray], side: int) -> np.ndarray:
    """Square images uint8 [s, s, 3] of any size, resampled."""
    resample = Image.Resampling.BICUBIC
    return np.stack(
        [np.asarray(Image.fromarray(image).resize((side, side), resample)) for image in images]
    )


def _rgb(grey: np.ndarray) -> np.ndarray:
    return np.repeat(grey[..., None].clip(0, 255).astype(np.uint8), 3, -1)
