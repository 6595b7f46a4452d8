"""The corruptions of Hendrycks and Dietterich that are weather or digital; see `noise_and_blur`."""

import io

import numpy as np
from PIL import Image

from clearsight.evaluation.noise_and_blur import REFERENCE, Draws, moved, zoomed

GREY = np.array([0.299, 0.587, 0.114], np.float32)


def snow(x: np.ndarray, severity: int, draws: Draws) -> np.ndarray:
    """Falling flakes over a whitened image."""
    mean, spread, size, threshold, radius, sigma, keep = (
        (0.1, 0.2, 1, 0.6, 8, 3, 0.95),
        (0.1, 0.2, 1, 0.5, 10, 4, 0.9),
        (0.15, 0.3, 1.75, 0.55, 10, 4, 0.9),
        (0.25, 0.3, 2.25, 0.6, 12, 6, 0.85),
        (0.3, 0.3, 1.25, 0.65, 14, 12, 0.8),
    )[severity - 1]
    layer = np.stack([draw.standard_normal((*x.shape[1:3], 1), np.float32) for draw in draws])
    angles = np.array([draw.uniform(-135, -45) for draw in draws])
    layer = zoomed(mean + spread * layer, max(1, size * x.shape[1] / REFERENCE))
    layer = moved(np.where(layer < threshold, 0, layer.clip(0, 1)), radius, sigma, angles)
    white = np.maximum(x, (x @ GREY)[..., None] * 1.5 + 0.5)
    return keep * x + (1 - keep) * white + layer + layer[:, ::-1, ::-1]


def frost(x: np.ndarray, severity: int, draws: Draws) -> np.ndarray:
    """Ice on a pane: a bluish texture is added.

    The published set takes it from photographs. Here it is noise whose power falls with the square
    of the frequency, in the range of those photographs' brightness, contrast and tint.
    """
    keep, ice = ((1, 0.2), (1, 0.3), (0.9, 0.4), (0.85, 0.4), (0.75, 0.45))[severity - 1]
    height, width = x.shape[1:3]
    white = np.stack([draw.standard_normal((height, width)) for draw in draws])
    mean, contrast, tint = np.array(
        [draw.uniform((0.45, 0.04, 0.03), (0.8, 0.10, 0.10)) for draw in draws]
    ).T[:, :, None, None]
    frequency = np.hypot(np.fft.fftfreq(height)[:, None], np.fft.rfftfreq(width))
    frequency[0, 0] = np.inf  # the mean is drawn
    texture = np.fft.irfft2(np.fft.rfft2(white) / frequency, (height, width))
    texture *= contrast / texture.std((1, 2), keepdims=True)
    colour = np.stack([mean - tint, mean, mean + tint], -1) + texture[..., None]
    return keep * x + ice * colour.clip(0, 1).astype(np.float32)


def fog(x: np.ndarray, severity: int, draws: Draws) -> np.ndarray:
    """A cloudy veil, brighter than the image, that leaves less of its contrast."""
    strength, decay = ((0.2, 3), (0.5, 3), (0.75, 2.5), (1, 2), (1.5, 1.75))[severity - 1]
    veil = plasma(max(x.shape[1:3]), decay, draws)[:, : x.shape[1], : x.shape[2], None]
    brightest = x.max((1, 2, 3), keepdims=True)
    return (x + strength * veil) * brightest / (brightest + strength)


def brightness(x: np.ndarray, severity: int, draws: Draws) -> np.ndarray:
    """More of the value of HSV, at the same hue and saturation."""
    more = (0.05, 0.1, 0.15, 0.2, 0.3)[severity - 1]
    value = x.max(3, keepdims=True)
    brighter = np.minimum(value + more, 1)
    return np.where(value > 0, x * (brighter / np.maximum(value, 1e-6)), brighter)


def contrast(x: np.ndarray, severity: int, draws: Draws) -> np.ndarray:
    """Less distance to the mean of each channel."""
    factor = (0.75, 0.5, 0.4, 0.3, 0.15)[severity - 1]
    mean = x.mean((1, 2), keepdims=True)
    return mean + factor * (x - mean)


def elastic_transform(x: np.ndarray, severity: int, draws: Draws) -> np.ndarray:
    """A slight affine map, then a smooth random displacement of every pixel."""
    from scipy.ndimage import gaussian_filter

    strength, smooth, shake = (
        (0, 0, 0.08), (0.05, 0.2, 0.07), (0.08, 0.06, 0.06), (0.1, 0.04, 0.05), (0.1, 0.03, 0.03),
    )[severity - 1]  # fmt: skip
    n, height, width, _ = x.shape
    centre, reach = np.array([width // 2, height // 2]), min(height, width) // 3
    before = centre + reach * np.array([[1, 1], [1, -1], [-1, -1]])
    after = before + height * shake * np.stack([draw.uniform(-1, 1, (3, 2)) for draw in draws])
    # From where each pixel comes: the map that takes the three points back.
    homogeneous = np.concatenate([after, np.ones((n, 3, 1))], 2)
    back = np.linalg.solve(homogeneous, np.broadcast_to(before.astype(float), (n, 3, 2)))
    rows, columns = np.mgrid[:height, :width]
    places = np.stack([columns, rows, np.ones_like(rows)], -1) @ back[:, None]
    x = _sampled(x, places[..., 1], places[..., 0])
    if not strength:
        return x
    field = np.stack([draw.uniform(-1, 1, (2, height, width)) for draw in draws])
    field = gaussian_filter(field, smooth * height, axes=(2, 3), mode="reflect", truncate=3)
    field *= strength * height
    return _sampled(x, rows + field[:, 1], columns + field[:, 0])


def pixelate(x: np.ndarray, severity: int, draws: Draws) -> np.ndarray:
    """Fewer pixels: resized down and up again, each with a box filter."""
    factor = (0.95, 0.9, 0.85, 0.75, 0.65)[severity - 1]
    height, width = x.shape[1:3]
    small = (max(1, int(factor * width)), max(1, int(factor * height)))

    def one(pixels: np.ndarray) -> np.ndarray:
        down = Image.fromarray(pixels).resize(small, Image.Resampling.BOX)
        return np.asarray(down.resize((width, height), Image.Resampling.BOX))

    return np.stack([one(pixels) for pixels in to_uint8(x)]).astype(np.float32) / 255


def jpeg_compression(x: np.ndarray, severity: int, draws: Draws) -> np.ndarray:
    """JPEG files with chroma subsampled 4:2:0."""
    return as_jpeg(to_uint8(x), (80, 65, 58, 50, 40)[severity - 1]).astype(np.float32) / 255


def as_jpeg(images: np.ndarray, quality: int) -> np.ndarray:
    """uint8 [N, H, W, 3] as they come back from JPEG files, 4:2:0, by Pillow."""

    def one(pixels: np.ndarray) -> np.ndarray:
        file = io.BytesIO()
        Image.fromarray(pixels).save(file, "JPEG", quality=quality, subsampling="4:2:0")
        return np.asarray(Image.open(file))

    return np.stack([one(pixels) for pixels in images])


def plasma(side: int, decay: float, draws: Draws) -> np.ndarray:
    """Clouds, float32 [N, S, S] from 0 to 1, S the next power of two: the diamond-square algorithm.

    The map is a torus, as in the published set; the noise of each halving is `decay`² times weaker.
    """
    size = 1 << (side - 1).bit_length()
    clouds, strength, step = np.zeros((len(draws), size, size)), 1.0, size
    while step >= 2:
        half, n = step // 2, size // step

        def jittered(sums: np.ndarray, count: int = n, amount: float = strength) -> np.ndarray:
            jitter = np.stack([draw.uniform(-1, 1, (count, count)) for draw in draws])
            return sums / 4 + amount * jitter

        corners = clouds[:, ::step, ::step]
        across = corners + np.roll(corners, -1, 1)
        centres = jittered(across + np.roll(across, -1, 2))
        clouds[:, half::step, half::step] = centres
        # Each point between has two corners and two centres around it.
        clouds[:, ::step, half::step] = jittered(
            centres + np.roll(centres, 1, 1) + corners + np.roll(corners, -1, 2)
        )
        clouds[:, half::step, ::step] = jittered(
            centres + np.roll(centres, 1, 2) + corners + np.roll(corners, -1, 1)
        )
        step, strength = half, strength / decay**2
    clouds -= clouds.min((1, 2), keepdims=True)
    return (clouds / clouds.max((1, 2), keepdims=True)).astype(np.float32)


def to_uint8(x: np.ndarray) -> np.ndarray:
    """Values of 0 to 1, clipped, as whole pixel values."""
    return (x.clip(0, 1) * 255).round().astype(np.uint8)


def _sampled(x: np.ndarray, rows: np.ndarray, columns: np.ndarray) -> np.ndarray:
    """Images at real positions [N, H, W], bilinear, reflected at the border without its repeat."""
    import torch
    import torch.nn.functional as F

    height, width = x.shape[1:3]
    grid = np.stack([2 * columns / (width - 1) - 1, 2 * rows / (height - 1) - 1], -1)
    found = F.grid_sample(
        torch.from_numpy(np.ascontiguousarray(x.transpose(0, 3, 1, 2), np.float32)),
        torch.from_numpy(grid.astype(np.float32)),
        padding_mode="reflection",
        align_corners=True,
    )
    return found.permute(0, 2, 3, 1).numpy()
