"""Short descriptors of images that copies of one photograph share, however they were edited.

An image is reduced to 32 × 32 grey values. Its edges are described by the harmonics of their
direction, pooled in 5 × 5 overlapping windows: like histograms of oriented gradients (Dalal and
Triggs 2005), so brightness and contrast hardly matter. A linear discriminant analysis then keeps
the directions in which images differ more than an image differs from its own shifted, scaled and
turned versions, which are drawn from the data themselves.
"""

from dataclasses import dataclass
from math import ceil, pi

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

SIDE = 32
LENGTH = 48
WINDOWS = 5
POOLING = 2.6  # standard deviation of a window, px
HARMONICS = 3
SHIFTS = ((0.0, 0.0), (2.5, 2.5), (-2.5, 2.5))
"""By how many px a query's windows are moved; the query from the other image covers the rest."""

_BLUR = 1.0
_MOST_FITTED = 2000
_SHRINKAGE = 0.1
_LUMA = torch.tensor([0.299, 0.587, 0.114])  # ITU-R BT.601


@dataclass(frozen=True, kw_only=True)
class Projection:
    """From edge features to descriptors: `mean` float32 [F], `directions` float32 [F, LENGTH]."""

    mean: Tensor
    directions: Tensor

    def __call__(self, features: Tensor) -> np.ndarray:
        """float32 [N, LENGTH], of unit length: the descriptors of `pooled` features."""
        return F.normalize((_unit(features) - self.mean) @ self.directions).numpy()


def thumbnails(images: np.ndarray, positions: np.ndarray) -> np.ndarray:
    """uint8 [N, 32, 32]: grey values of the `images` (uint8 [M, S, S, 3]) at `positions`."""
    side = images.shape[1]
    grey = np.empty((len(positions), SIDE, SIDE), np.uint8)
    rows = max(1, 2**22 // (side * side * 3))
    for start in range(0, len(positions), rows):
        block = torch.from_numpy(images[positions[start : start + rows]]).float() @ _LUMA
        if side != SIDE:
            block = F.interpolate(block[:, None], (SIDE, SIDE), mode="bilinear", antialias=True)[
                :, 0
            ]
        grey[start : start + rows] = block.round().byte().numpy()
    return grey


def blurred(grey: Tensor, sigma: float) -> Tensor:
    """float32 [N, S, S], by a Gaussian of `sigma` px, borders repeated."""
    side, reach = grey.shape[-1], ceil(2.5 * sigma)
    offsets = torch.arange(-reach, reach + 1)
    weights = torch.exp(-(offsets**2) / (2 * sigma**2))
    columns = (torch.arange(side)[:, None] + offsets).clamp(0, side - 1)
    rows = (weights / weights.sum()).expand(side, -1).contiguous()
    matrix = torch.zeros(side, side).scatter_add_(1, columns, rows)
    return matrix @ grey @ matrix.T


def edges(grey: Tensor) -> Tensor:
    """float32 [N, 1 + 2 · HARMONICS, 32, 32]: strength of the edges, times cos kθ and sin kθ.

    `grey`: float32 [N, 32, 32]. The strength is the root of the gradient's length, so that a frame
    does not outweigh the picture in it.
    """
    smooth = blurred(grey, _BLUR)
    across = F.pad(smooth[:, :, 2:] - smooth[:, :, :-2], (1, 1))
    down = F.pad(smooth[:, 2:] - smooth[:, :-2], (0, 0, 1, 1))
    length = torch.sqrt(across * across + down * down) + 1e-3
    strength = length.sqrt()
    first = torch.complex(across / length, down / length)
    maps, turned = [strength], first
    for _ in range(HARMONICS):
        maps += [turned.real * strength, turned.imag * strength]
        turned = turned * first
    return torch.stack(maps, 1)


def pooled(maps: Tensor, shift: tuple[float, float] = (0.0, 0.0)) -> Tensor:
    """float32 [N, C, WINDOWS, WINDOWS]: `edges` averaged in windows, moved by `shift` px (x, y)."""
    across, down = (_windows(by) for by in shift)
    return down @ maps @ across.T


def mirrored(features: Tensor) -> Tensor:
    """The `pooled` features of the mirror images: θ becomes π - θ."""
    signs = [1.0]
    for k in range(1, HARMONICS + 1):
        signs += [(-1.0) ** k, -((-1.0) ** k)]
    return features.flip(-1) * torch.tensor(signs).view(1, -1, 1, 1)


def fit_projection(grey: np.ndarray) -> Projection:
    """The projection for a set of `thumbnails`, fitted on at most 2,000 of them, evenly spaced."""
    sample = torch.from_numpy(grey[:: -(-len(grey) // _MOST_FITTED)]).float()
    generator = torch.Generator().manual_seed(0)
    features = _unit(pooled(edges(sample)))
    within = torch.zeros(features.shape[1], features.shape[1], dtype=torch.float64)
    # What lies beyond the border: the border again, the image mirrored, or one of three colours.
    fills = (("border", 0), ("reflection", 0), ("zeros", 0), ("zeros", 255), ("zeros", 128))
    for mode, value in fills:
        moved = _moved(sample - value, mode, generator) + value
        difference = (_unit(pooled(edges(moved))) - features).double()
        within += difference.T @ difference / (len(fills) * len(sample))
    mean = features.mean(0)
    centred = (features - mean).double()
    between = centred.T @ centred / len(sample)
    length = len(within)
    within += torch.eye(length, dtype=torch.float64) * (
        _SHRINKAGE * float(within.trace()) / length + 1e-9
    )
    return Projection(mean=mean, directions=_discriminants(between.numpy(), within.numpy()))


def _discriminants(between: np.ndarray, within: np.ndarray) -> Tensor:
    from scipy.linalg import eigh

    count = len(between)
    _, vectors = eigh(between, within, subset_by_index=(count - LENGTH, count - 1))
    return torch.from_numpy(vectors[:, ::-1].astype(np.float32))


def _moved(grey: Tensor, mode: str, generator: torch.Generator) -> Tensor:
    """The thumbnails, shifted by up to 3 px, scaled by up to 17 % and turned by up to 5°."""
    n = len(grey)

    def draw(most: float) -> Tensor:
        return (2 * torch.rand(n, generator=generator) - 1) * most

    scale, turn = torch.exp(draw(0.17)), draw(5 * pi / 180)
    cos, sin = scale * turn.cos(), scale * turn.sin()
    most = 3 / (SIDE / 2)
    rows = [torch.stack([cos, -sin, draw(most)], 1), torch.stack([sin, cos, draw(most)], 1)]
    grid = F.affine_grid(torch.stack(rows, 1), [n, 1, SIDE, SIDE], align_corners=False)
    return F.grid_sample(grey[:, None], grid, padding_mode=mode, align_corners=False)[:, 0]


def _unit(features: Tensor) -> Tensor:
    # A flat image has no edges: its features stay near zero, and are those of no other image.
    flat = features.flatten(1)
    return flat / flat.norm(dim=1, keepdim=True).clamp_min(1.0)


def _windows(shift: float) -> Tensor:
    """float32 [WINDOWS, 32]: the weights of the pixels of a row in each window."""
    centres = (torch.arange(WINDOWS) + 0.5) * SIDE / WINDOWS + shift
    distance = torch.arange(SIDE) + 0.5 - centres[:, None]
    weights = torch.exp(-(distance**2) / (2 * POOLING**2))
    return weights / weights.sum(1, keepdim=True)
