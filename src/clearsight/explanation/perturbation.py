"""Evidence by trial: what the probability of a class loses where parts of an image are taken away.

All give uint8 images [N, H, W, 3] and `targets` int64 [N] → float32 [N, H, W]; positive where a
pixel speaks for the class, negative where against. The model is only asked, so it may be any.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from clearsight.explanation.references import blurred
from clearsight.explanation.scores import class_probabilities
from clearsight.runtime.device import Precision

WINDOWS = 8
RISE_MASKS, RISE_CELLS = 400, 6
MASKS_AT_ONCE = 16


def occlusion(
    model: nn.Module,
    images: Tensor,
    targets: Tensor,
    *,
    window: int | None = None,
    stride: int | None = None,
    reference: Tensor | None = None,
    precision: Precision = "fp32",
) -> Tensor:
    """The probability lost under a square window, in the mean of the windows over each pixel.

    `window` and `stride` in px, default: an eighth of the longer side and half of that; the last
    windows end at the edge. `reference`, float [N, H, W, 3], is what stands in the window, default:
    the image blurred. M. D. Zeiler and R. Fergus, "Visualizing and Understanding Convolutional
    Networks", ECCV 2014 (arXiv:1311.2901).
    """
    height, width = images.shape[1:3]
    window = window or max(2, 2 * max(height, width) // WINDOWS)
    stride = stride or max(1, window // 2)
    masks = []
    for top in _starts(height, window, stride):
        for left in _starts(width, window, stride):
            mask = torch.zeros(height, width, device=images.device)
            mask[top : top + window, left : left + window] = 1
            masks.append(mask)
    hidden = torch.stack(masks)  # [M, H, W]
    whole = class_probabilities(model, images, targets, precision=precision)
    left = _probabilities(model, images, targets, 1 - hidden, reference, precision)  # [N, M]
    return torch.einsum("nm,mhw->nhw", whole[:, None] - left, hidden) / hidden.sum(0)


def rise(
    model: nn.Module,
    images: Tensor,
    targets: Tensor,
    *,
    masks: int = RISE_MASKS,
    cells: int = RISE_CELLS,
    seed: int = 0,
    reference: Tensor | None = None,
    precision: Precision = "fp32",
) -> Tensor:
    """How the probability goes with a pixel being shown, over random smooth masks.

    A mask is a grid of `cells` × `cells` that are shown or not, each with probability 1/2,
    enlarged (bilinear) and shifted by less than a cell. What is not shown is `reference`, float
    [N, H, W, 3], default: the image blurred. Every mask comes with its complement, and from the
    mean over masks that of their probabilities is taken away: both lower the variance. The same
    masks for all images. V. Petsiuk et al., "RISE: Randomized Input Sampling for Explanation of
    Black-box Models", BMVC 2018 (arXiv:1806.07421).
    """
    shown = random_masks(masks, cells, (images.shape[1], images.shape[2]), seed).to(images.device)
    found = _probabilities(model, images, targets, shown, reference, precision)
    centred = found - found.mean(1, keepdim=True)
    return torch.einsum("nm,mhw->nhw", centred, shown) / len(shown)


def random_masks(count: int, cells: int, size: tuple[int, int], seed: int) -> Tensor:
    """float32 [count, H, W], 0–1: smooth random masks, the second half complements of the first."""
    generator = torch.Generator().manual_seed(seed)
    height, width = size
    cell_h, cell_w = -(-height // cells), -(-width // cells)
    coarse = (torch.rand(count // 2, 1, cells + 1, cells + 1, generator=generator) < 0.5).float()
    large = F.interpolate(
        coarse, ((cells + 1) * cell_h, (cells + 1) * cell_w), mode="bilinear", align_corners=False
    )[:, 0]
    tops = torch.randint(cell_h, (count // 2,), generator=generator).tolist()
    lefts = torch.randint(cell_w, (count // 2,), generator=generator).tolist()
    masks = torch.stack(
        [
            m[t : t + height, left : left + width]
            for m, t, left in zip(large, tops, lefts, strict=True)
        ]
    )
    return torch.cat([masks, 1 - masks])


def _probabilities(
    model: nn.Module,
    images: Tensor,
    targets: Tensor,
    masks: Tensor,
    reference: Tensor | None,
    precision: Precision,
) -> Tensor:
    """float32 [N, M]: the targets' probabilities with each image shown through each mask."""
    behind = blurred(images) if reference is None else reference
    difference = images.float() - behind
    found = []
    for some in masks.split(MASKS_AT_ONCE):
        views = behind[:, None] + some[None, ..., None] * difference[:, None]  # [N, m, H, W, 3]
        asked = class_probabilities(
            model, views.flatten(0, 1), targets.repeat_interleave(len(some)), precision=precision
        )
        found.append(asked.view(len(images), -1))
    return torch.cat(found, 1)


def _starts(side: int, window: int, stride: int) -> range:
    """Where windows start along a side, so that all of it is covered."""
    return range(0, max(side - window, 0) + stride, stride)
