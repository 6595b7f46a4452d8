"""What stands in an image's place where it is taken away: its mean colour, or itself blurred."""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

BLUR = 1 / 8
"""Standard deviation of the blur as a fraction of the longer side: no shape is left to tell."""


def mean_colour(images: Tensor) -> Tensor:
    """Images uint8 [N, H, W, 3] → float32 of the same shape, each image's own mean colour."""
    return images.float().mean((1, 2), keepdim=True).expand(images.shape)


def blurred(images: Tensor) -> Tensor:
    """Images uint8 [N, H, W, 3] → float32 of the same shape, by a Gaussian, edges repeated."""
    sigma = BLUR * max(images.shape[1:3])
    return smoothed(images.float().permute(0, 3, 1, 2), sigma).permute(0, 2, 3, 1)


def smoothed(maps: Tensor, sigma: float) -> Tensor:
    """float32 [N, C, H, W], by a Gaussian of standard deviation `sigma` px, edges repeated."""
    reach = max(1, round(3 * sigma))
    steps = torch.arange(-reach, reach + 1, device=maps.device)
    kernel = (-((steps / sigma) ** 2) / 2).exp()
    kernel = kernel / kernel.sum()
    channels = maps.shape[1]
    for shape, padding in (
        ((1, 1, 1, -1), (reach, reach, 0, 0)), ((1, 1, -1, 1), (0, 0, reach, reach))
    ):  # fmt: skip
        maps = F.pad(maps, padding, mode="replicate")
        maps = F.conv2d(maps, kernel.view(shape).repeat(channels, 1, 1, 1), groups=channels)
    return maps


REFERENCES: dict[str, Callable[[Tensor], Tensor]] = {"mean colour": mean_colour, "blur": blurred}
