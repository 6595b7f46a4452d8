"""The corruptions of Hendrycks and Dietterich that are noise or blur; `corruptions` calls them.

Each takes images float32 [N, H, W, 3] of 0 to 1, a severity from 1 to 5 and a generator per image,
and returns float images whose values may leave 0 to 1. The tables are those of CIFAR-10-C, for
images of 32 px; lengths grow in proportion to the side of other images.
"""

from collections.abc import Sequence
from typing import Literal

import numpy as np

Draws = Sequence[np.random.Generator]
REFERENCE = 32  # px, the side that the tables are for


def gaussian_noise(x: np.ndarray, severity: int, draws: Draws) -> np.ndarray:
    """Normal noise in every pixel and channel."""
    sigma = (0.04, 0.06, 0.08, 0.09, 0.10)[severity - 1]
    return x + sigma * np.stack([draw.standard_normal(x.shape[1:], np.float32) for draw in draws])


def shot_noise(x: np.ndarray, severity: int, draws: Draws) -> np.ndarray:
    """Poisson noise, as of so many photons at white."""
    photons = (500, 250, 100, 75, 50)[severity - 1]
    counts = [draw.poisson(image * photons) for draw, image in zip(draws, x, strict=True)]
    return np.stack(counts).astype(np.float32) / photons


def impulse_noise(x: np.ndarray, severity: int, draws: Draws) -> np.ndarray:
    """A share of all values become 0 or 1, with equal probability."""
    share = (0.01, 0.02, 0.03, 0.05, 0.07)[severity - 1]
    u = np.stack([draw.random(x.shape[1:], np.float32) for draw in draws])
    return np.where(u < share / 2, 0, np.where(u > 1 - share / 2, 1, x))


def defocus_blur(x: np.ndarray, severity: int, draws: Draws) -> np.ndarray:
    """A disk, its edge smoothed by a small Gaussian."""
    from scipy.signal import convolve2d

    radius, smooth = ((0.3, 0.4), (0.4, 0.5), (0.5, 0.6), (1, 0.2), (1.5, 0.1))[severity - 1]
    scale = x.shape[1] / REFERENCE
    position = np.arange(-int(radius * scale), int(radius * scale) + 1)
    disk = (position[:, None] ** 2 + position**2 <= (radius * scale) ** 2).astype(float)
    reach = max(1, round(scale))
    line = np.exp(-0.5 * (np.arange(-reach, reach + 1) / (smooth * scale)) ** 2)
    kernel = convolve2d(disk, np.outer(line, line))
    return _filtered(x, kernel[None] / kernel.sum(), "reflect")


def glass_blur(x: np.ndarray, severity: int, draws: Draws) -> np.ndarray:
    """A slight Gaussian blur, then every pixel takes the value of one nearby, then the blur again.

    In the code that made CIFAR-10-C two pixels swap their values, but as views of one array, so
    that one value is lost; what is published has the effect that is meant here.
    """
    from scipy.ndimage import gaussian_filter

    table = ((0.05, 1, 1), (0.25, 1, 1), (0.4, 1, 1), (0.25, 1, 2), (0.4, 1, 2))
    sigma, reach, times = table[severity - 1]
    n, height, width, _ = x.shape
    scale = height / REFERENCE
    reach = max(1, round(reach * scale))
    x = gaussian_filter(x, sigma * scale, axes=(1, 2), mode="nearest")
    rows, columns = (
        np.arange(reach + 1, height - reach + 1),
        np.arange(reach + 1, width - reach + 1),
    )
    rows, columns = rows[rows < height], columns[columns < width]
    for _ in range(times):
        size = (2, len(rows), len(columns))
        shift = np.stack([draw.integers(-reach, reach, size) for draw in draws], 1)
        inside = x[
            np.arange(n)[:, None, None],
            (rows[:, None] + shift[0]).clip(0, height - 1),
            (columns + shift[1]).clip(0, width - 1),
        ]
        x = x.copy()
        x[:, rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1] = inside
    return gaussian_filter(x, sigma * scale, axes=(1, 2), mode="nearest")


def motion_blur(x: np.ndarray, severity: int, draws: Draws) -> np.ndarray:
    """A movement to one side, at up to 45° to the rows."""
    radius, sigma = ((6, 1), (6, 1.5), (6, 2), (8, 2), (9, 2.5))[severity - 1]
    angles = np.array([draw.uniform(-45, 45) for draw in draws])
    return moved(x, radius, sigma, angles)


def zoom_blur(x: np.ndarray, severity: int, draws: Draws) -> np.ndarray:
    """The mean over the image and its centre at growing zoom."""
    factors = np.arange(1, (1.06, 1.11, 1.16, 1.21, 1.26)[severity - 1], 0.01)
    total = x.copy()
    for factor in factors:
        total += zoomed(x, factor)
    return total / (len(factors) + 1)


def zoomed(x: np.ndarray, factor: float) -> np.ndarray:
    """The centre of images [N, H, H, C], enlarged by `factor` (1 or more) to the same size."""
    from scipy.ndimage import zoom

    side = x.shape[1]
    cut = int(np.ceil(side / factor))
    top = (side - cut) // 2
    # Linear interpolation along one axis is a matrix; what it makes of the unit vectors is that.
    matrix = zoom(np.eye(cut, dtype=np.float32), (factor, 1), order=1)
    first = (len(matrix) - side) // 2
    matrix = matrix[first : first + side]
    inside = x[:, top : top + cut, top : top + cut].transpose(0, 3, 1, 2)
    return (matrix @ inside @ matrix.T).transpose(0, 2, 3, 1)


def moved(x: np.ndarray, radius: float, sigma: float, angles: np.ndarray) -> np.ndarray:
    """Images [N, H, W, C] smeared along a line each: a Gaussian's half, as ImageMagick has it.

    `angles`: float [N], degrees; `radius` and `sigma` in px of an image of 32 px.
    """
    scale = x.shape[1] / REFERENCE
    # Weights beyond four standard deviations are nothing.
    reach = int(min(2 * radius, 4 * sigma) * scale)
    steps = np.arange(reach + 1)
    weights = np.exp(-0.5 * (steps / (sigma * scale)) ** 2)
    weights /= weights.sum()
    radians = np.deg2rad(angles)[:, None]
    down, right = (np.rint(steps * f(radians)).astype(int) for f in (np.sin, np.cos))
    kernels = np.zeros((len(x), 2 * reach + 1, 2 * reach + 1))
    # A convolution turns its kernel round.
    np.add.at(kernels, (np.arange(len(x))[:, None], reach - down, reach - right), weights)
    return _filtered(x, kernels, "edge")


def _filtered(x: np.ndarray, kernels: np.ndarray, border: Literal["reflect", "edge"]) -> np.ndarray:
    """Images convolved with a kernel each, [N or 1, k, k], beyond the border as `np.pad` says."""
    from scipy.signal import fftconvolve

    reach = kernels.shape[1] // 2
    padded = np.pad(x, ((0, 0), (reach, reach), (reach, reach), (0, 0)), border)
    kernels = kernels[..., None].astype(np.float32)
    return fftconvolve(padded, kernels, mode="valid", axes=(1, 2))
