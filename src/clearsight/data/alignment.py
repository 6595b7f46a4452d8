"""Whether two images show the same photograph: one is laid onto the other, pixel by pixel.

The second image is shifted, scaled and turned until it fits the first best, by Gauss-Newton steps
that also fit brightness and contrast (Lucas and Kanade 1981; Baker and Matthews 2004), first at
16 × 16, then at 32 × 32 px. Pixels that do not fit lose weight, so that a border filled in does not
pull. Then their details are compared in small windows: of two versions of one photograph nearly all
windows agree, of two similar photographs some do not.
"""

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from clearsight.data.descriptors import SIDE, blurred

THRESHOLD, STRICTEST = 0.8, 0.97
"""The least similarity of near duplicates: of images with much detail, and of silhouettes."""
MUCH_DETAIL, LITTLE_DETAIL = 190.0, 90.0  # effective number of pixels with detail, of 1,024
STEEPEST, LARGEST = 7.0, 1.28
"""The largest turn, in degrees, and change of scale between near duplicates."""

_COARSE_THRESHOLD = 0.6
_COARSE_QUANTILE, QUANTILE = 0.3, 0.1
"""A pair is as similar as the least similar of its windows, this share of its details left out."""

_BATCH = 256
_BLUR = 0.7
_MARGIN = 1.5  # px at the border of the second image, where what was filled in shows through
_LARGEST_STEP = torch.tensor([0.12, 0.1, 0.2, 0.2])  # log scale, turn, shift x and y in half sides
_LEAST_AREA = 0.4
_PLAIN = 0.9  # share of a line's pixels that are like the next
_NOISE = 2.0  # grey levels: less detail than that proves nothing


@dataclass(frozen=True, kw_only=True)
class Alignment:
    """How the second image of each of P pairs fits the first.

    - `similarity`: float32 [P], 0–1; `required`: float32 [P], what it takes to be a near duplicate
    - `transform`: float32 [P, 3, 3], from places in the first to places in the second, both from
      -1 to 1
    """

    similarity: Tensor
    required: Tensor
    transform: Tensor


def align(first: Tensor, second: Tensor, shift: Tensor, mirrored: Tensor) -> Alignment:
    """Lays each of the `second` images onto the `first`: both float32 [P, 32, 32], grey 0–255.

    `shift`: float32 [P, 2], where to start, in px; `mirrored`: bool [P], whether the first image
    was mirrored for it. Pairs that do not fit at 16 × 16 px are given up, with the similarity 0.
    """
    found = [
        _align(first[s : s + _BATCH], second[s : s + _BATCH], shift[s : s + _BATCH])
        for s in range(0, len(first), _BATCH)
    ]
    similarity, required, transform = (torch.cat(parts) for parts in zip(*found, strict=True))
    required += _penalty(transform, mirrored)
    return Alignment(similarity=similarity, required=required, transform=transform)


def _penalty(transform: Tensor, mirrored: Tensor) -> Tensor:
    """float32 [P]: what a transform adds to the similarity required; where it is too large, 1.

    The more freedom it takes to make two images fit, the less their fit proves.
    """
    scale = torch.hypot(transform[:, 0, 0], transform[:, 1, 0]).clamp_min(1e-3).log().abs()
    turn = torch.atan2(transform[:, 1, 0], transform[:, 0, 0]).rad2deg().abs()
    change = turn / 5 + scale / math.log(1.18)
    penalty = 0.09 * (change - 0.5).clamp(0, 1.5) + 0.03 * mirrored
    return torch.where((turn > STEEPEST) | (scale > math.log(LARGEST)), 1.0, penalty)


def _align(first: Tensor, second: Tensor, shift: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    transform = torch.eye(3).repeat(len(first), 1, 1)
    transform[:, :2, 2] = shift / (SIDE / 2)
    masks = _content(first), _content(second)
    a, b = _halved(blurred(first, 1.0)), _halved(blurred(second, 1.0))
    coarse = (_halved(masks[0]) > 0.99).float(), (_halved(masks[1]) > 0.99).float()
    for robust in (False, False, True, True):
        transform = _step(a, b, coarse, transform, robust=robust)
    similarity, required = torch.zeros(len(first)), torch.full((len(first),), STRICTEST)
    rough = _agreement(a, b, coarse, transform, _COARSE_QUANTILE)
    left = torch.nonzero(rough >= _COARSE_THRESHOLD)[:, 0]
    if len(left):
        a, b = blurred(first[left], _BLUR), blurred(second[left], _BLUR)
        fine = masks[0][left], masks[1][left]
        found = transform[left]
        for _ in range(3):
            found = _step(a, b, fine, found, robust=True)
        similarity[left] = _agreement(a, b, fine, found, QUANTILE)
        required[left] = torch.maximum(_required(a), _required(b))
        transform[left] = found
    return similarity, required, transform


def _halved(grey: Tensor) -> Tensor:
    return F.avg_pool2d(grey[:, None], 2)[:, 0]


def _required(grey: Tensor) -> Tensor:
    """float32 [P]: the least similarity to the images `grey` that is no coincidence.

    Ships below the sky are alike, whoever built them: the fewer pixels have detail, the more it
    takes. Their effective number is that of the participation ratio, (Σ e)² / Σ e².
    """
    energy = (grey - blurred(grey, SIDE / 16)) ** 2
    pixels = energy.sum((1, 2)) ** 2 / (energy**2).sum((1, 2)).clamp_min(1e-6)
    lack = (MUCH_DETAIL - pixels) / (MUCH_DETAIL - LITTLE_DETAIL)
    return THRESHOLD + (STRICTEST - THRESHOLD) * lack.clamp(0, 1)


def _content(grey: Tensor) -> Tensor:
    """float32 [N, S, S]: 0 in the border where rows or columns are flat or repeat the next, else 1.

    Such a border was filled in, or is plain.
    """
    down, across = (grey[:, 1:] - grey[:, :-1]).abs(), (grey[:, :, 1:] - grey[:, :, :-1]).abs()
    down, across = (down < 2).float(), (across < 2).float()
    rows = _inner(down.mean(2) > _PLAIN, across.mean(2) > _PLAIN)
    columns = _inner(across.mean(1) > _PLAIN, down.mean(1) > _PLAIN)
    return rows[:, :, None] * columns[:, None, :]


def _inner(repeats: Tensor, flat: Tensor) -> Tensor:
    """float32 [N, S]: 0 for the lines at either end that are filled in, and those beside them.

    `repeats`: bool [N, S - 1], lines like the next; `flat`: bool [N, S].
    """

    def border(repeats: Tensor, flat: Tensor) -> Tensor:
        lines = (flat | F.pad(repeats, (0, 1))).float().cumprod(1)
        # The next line may still repeat, and the one after it is blurred into the border.
        return F.max_pool1d(F.pad(lines, (2, 0))[:, None], 3, 1)[:, 0]

    ends = border(repeats, flat), border(repeats.flip(1), flat.flip(1)).flip(1)
    return 1 - torch.maximum(*ends)


def _warped(b: Tensor, masks: tuple[Tensor, Tensor], transform: Tensor) -> tuple[Tensor, Tensor]:
    """(b in the places of a, weights of the places that both show): float32 [P, S, S] each."""
    side = b.shape[-1]
    grid = F.affine_grid(transform[:, :2], [len(b), 1, side, side], align_corners=False)
    both = torch.stack([b, masks[1]], 1)
    both = F.grid_sample(both, grid, padding_mode="border", align_corners=False)
    inside = (grid.abs().amax(-1) <= 1 - _MARGIN / (SIDE / 2)) & (both[:, 1] > 0.99)
    return both[:, 0], inside * masks[0]


def _step(
    a: Tensor, b: Tensor, masks: tuple[Tensor, Tensor], transform: Tensor, *, robust: bool
) -> Tensor:
    """The transform [P, 3, 3] after a Gauss-Newton step."""
    side = a.shape[-1]
    warped, weight = _warped(b, masks, transform)
    across = F.pad((warped[:, :, 2:] - warped[:, :, :-2]) * (side / 4), (1, 1))
    down = F.pad((warped[:, 2:] - warped[:, :-2]) * (side / 4), (0, 0, 1, 1))
    weight[:, 0] = weight[:, -1] = weight[:, :, 0] = weight[:, :, -1] = 0
    if robust:
        weight = weight * _trust(a, warped, weight)
    place = (torch.arange(side) + 0.5) * 2 / side - 1
    x, y = place[None, None, :], place[None, :, None]
    columns = torch.stack(
        [across * x + down * y, down * x - across * y, across, down, warped, torch.ones_like(a)], 1
    ).flatten(2)
    weighted = columns * weight.flatten(1)[:, None]
    normal = weighted @ columns.transpose(1, 2)
    normal += torch.diag_embed(torch.diagonal(normal, dim1=1, dim2=2) * 1e-4 + 1e-2)
    found = torch.linalg.solve(normal, weighted @ a.flatten(1)[:, :, None])[:, :, 0]
    contrast = found[:, 4].clamp_min(0.1)
    step = (found[:, :4] / contrast[:, None]).clamp(-_LARGEST_STEP, _LARGEST_STEP)
    cos, sin = step[:, 0].exp() * step[:, 1].cos(), step[:, 0].exp() * step[:, 1].sin()
    change = torch.zeros_like(transform)
    change[:, 0, 0] = change[:, 1, 1] = cos
    change[:, 0, 1], change[:, 1, 0] = -sin, sin
    change[:, :2, 2], change[:, 2, 2] = step[:, 2:], 1
    return transform @ change


def _trust(a: Tensor, b: Tensor, weight: Tensor) -> Tensor:
    """float32 [P, S, S]: 1 where b fits a, less the worse it does (Geman and McClure's weights)."""
    a, b = _centred(a, weight), _centred(b, weight)
    contrast = _total(a * b, weight) / _total(b * b, weight).clamp_min(1e-3)
    spread = (_total(a * a, weight) / weight.sum((1, 2)).clamp_min(1)).sqrt()
    scale = (0.6 * spread).clamp_min(_NOISE)
    residual = a - contrast[:, None, None] * b
    return 1 / (1 + (residual / scale[:, None, None]) ** 2) ** 2


def _agreement(
    a: Tensor, b: Tensor, masks: tuple[Tensor, Tensor], transform: Tensor, quantile: float
) -> Tensor:
    """float32 [P]: the correlation of details that most windows of a pair reach, at least 0.

    Windows weigh as much as they have detail; see `QUANTILE`. A pair that overlaps too little, or
    shows too little, has 0.
    """
    side = a.shape[-1]
    warped, weight = _warped(b, masks, transform)
    a, b = _details(a, weight), _details(warped, weight)
    window = side // 4

    def windows(product: Tensor) -> Tensor:
        return F.avg_pool2d((product * weight)[:, None], window, window // 2).flatten(1)

    aa, bb, ab = windows(a * a), windows(b * b), windows(a * b)
    # Both with one contrast, as edited copies have another.
    ratio = (aa.sum(1) / bb.sum(1).clamp_min(1e-3)).clamp(0.05, 20)[:, None]
    correlation = ab / (aa * bb).sqrt().clamp_min(1.0)
    energy = (aa + ratio * bb).sqrt()
    order = correlation.argsort(1)
    share = energy.gather(1, order).cumsum(1) / energy.sum(1, keepdim=True).clamp_min(1e-6)
    place = (share < quantile).sum(1, keepdim=True).clamp_max(order.shape[1] - 1)
    reached = correlation.gather(1, order).gather(1, place)[:, 0]
    shown = weight.mean((1, 2))
    area = (masks[0].mean((1, 2)), masks[1].mean((1, 2)))
    enough = shown >= _LEAST_AREA * torch.maximum(*area).clamp_min(0.3)
    detailed = torch.minimum(aa.mean(1), bb.mean(1)).sqrt() >= _NOISE / 2
    return torch.where(enough & detailed, reached, 0).clamp(0, 1)


def _details(grey: Tensor, weight: Tensor) -> Tensor:
    centred = _centred(grey, weight) * (weight > 0)
    return centred - blurred(centred, grey.shape[-1] / 16)


def _centred(grey: Tensor, weight: Tensor) -> Tensor:
    mean = _total(grey, weight) / weight.sum((1, 2)).clamp_min(1)
    return grey - mean[:, None, None]


def _total(values: Tensor, weight: Tensor) -> Tensor:
    return (values * weight).sum((1, 2))
