"""What optics and sensors do to a batch of images, on its device: blur and noise."""

import torch
from torch import Tensor

from clearsight.runtime.seeds import uniform

BLUR = 1.2 / 32
"""The largest standard deviation of the blur, as a fraction of the image's side."""
NOISE = 0.12
"""The largest standard deviation of the noise, as a fraction of white."""


def blur(images: Tensor, generator: torch.Generator) -> Tensor:
    """Each image under a Gaussian of its own, with a width for rows and one for columns.

    `images`: uint8 [N, H, W, 3], as the result; each standard deviation is uniform from 0 to
    `BLUR` of the side. Near a border the weights inside are scaled up to 1.
    """
    n, height, width, _ = images.shape
    x = images.permute(0, 3, 1, 2).to(torch.float32)
    down, across = (
        _gaussians(side, uniform(0, BLUR * side, n, generator, images.device))
        for side in (height, width)
    )
    x = down[:, None] @ x @ across[:, None].transpose(2, 3)
    return x.permute(0, 2, 3, 1).round().to(torch.uint8)


def noise(images: Tensor, generator: torch.Generator) -> Tensor:
    """Each image with normal noise, independent in every pixel and channel.

    `images`: uint8 [N, H, W, 3], as the result; an image's standard deviation is uniform from 0 to
    `NOISE` of white.
    """
    strength = uniform(0, 255 * NOISE, len(images), generator, images.device)
    draws = torch.randn(images.shape, generator=generator, device=generator.device)
    x = images + strength[:, None, None, None] * draws.to(images.device)
    return x.round().clamp(0, 255).to(torch.uint8)


def _gaussians(side: int, sigma: Tensor) -> Tensor:
    """Matrices float32 [N, side, side] that smooth a line by `sigma`, float32 [N], px."""
    position = torch.arange(side, device=sigma.device)
    distance = (position[:, None] - position).to(torch.float32)
    weights = torch.exp(-0.5 * (distance / sigma[:, None, None].clamp_min(1e-3)) ** 2)
    return weights / weights.sum(2, keepdim=True)
