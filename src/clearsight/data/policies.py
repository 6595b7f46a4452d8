"""TrivialAugment and AugMix of a batch on its device: random operations, drawn per image.

The operations are those of AutoAugment (Cubuk et al. 2019), each applied at once to the images
that drew it.
"""

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from clearsight.runtime.seeds import uniform

GEOMETRIC = ("shear_x", "shear_y", "translate_x", "translate_y", "rotate")
COLOURS = ("brightness", "colour", "contrast", "sharpness")
TABLES = ("posterize", "solarize", "autocontrast", "equalize")
TRIVIAL = ("identity", *GEOMETRIC, *COLOURS, *TABLES)
# Hendrycks et al. leave out what is close to the corruptions that they measure.
AUGMIX = (*GEOMETRIC, *TABLES)

LEVELS = 31
WIDTH, DEPTH = 3, 3
AUGMIX_STRONGEST = 0.3  # of the largest magnitude: "severity 3" of 10
# At the highest level: tangent, fraction of the side, degrees, change of a factor, bits taken.
SHEAR, TRANSLATE, ROTATE, ENHANCE, BITS = 0.99, 1.0, 135.0, 0.99, 6
GREY = (0.299, 0.587, 0.114)


def trivial_augment(images: Tensor, generator: torch.Generator) -> Tensor:
    """Each image after one operation, drawn with its strength from the widest range.

    `images`: uint8 [N, H, W, 3], as the result. S. G. Müller and F. Hutter, "TrivialAugment:
    Tuning-free yet state-of-the-art data augmentation", 2021 (arXiv:2103.10158), the wide space.
    """
    levels = uniform(0, LEVELS, len(images), generator, images.device).floor() / (LEVELS - 1)
    return _random_operation(images, TRIVIAL, levels, generator)


def augmix(images: Tensor, generator: torch.Generator) -> Tensor:
    """Each image mixed with a mixture of three chains of one to three weak operations.

    `images`: uint8 [N, H, W, 3], as the result. D. Hendrycks et al., "AugMix: A simple data
    processing method to improve robustness and uncertainty", 2020 (arXiv:1912.02781), without the
    consistency loss, which trebles the cost of a step.
    """
    n, device = len(images), images.device
    # Exponential draws, normalised, are Dirichlet(1, 1, 1).
    weights = torch.stack([-(1 - uniform(0, 1, n, generator, device)).log() for _ in range(WIDTH)])
    weights /= weights.sum(0).clamp_min(1e-12)
    mixture = torch.zeros(images.shape, device=device)
    for weight in weights:
        depth = uniform(1, DEPTH + 1, n, generator, device).floor()
        chain = images
        for k in range(DEPTH):
            deep = (depth > k).nonzero().flatten()
            levels = uniform(0, AUGMIX_STRONGEST, len(deep), generator, device)
            changed = _random_operation(chain[deep], AUGMIX, levels, generator)
            chain = chain.index_copy(0, deep, changed)
        mixture += weight[:, None, None, None] * chain
    share = uniform(0, 1, n, generator, device)[:, None, None, None]
    return torch.lerp(images.to(torch.float32), mixture, share).round().to(torch.uint8)


def apply_operation(images: Tensor, name: str, magnitude: Tensor) -> Tensor:
    """One operation on all images: uint8 [N, H, W, 3] in and out.

    `magnitude`: float32 [N]. Of `shear_x` and `shear_y` the tangent, of `translate_x` and
    `translate_y` px, of `rotate` degrees counter-clockwise; what comes into view is the image
    reflected at its border. Of `brightness`, `colour`, `contrast` and `sharpness` the factor, 1
    changing nothing. Of `posterize` the bits to take away, of `solarize` the value (0–255) from
    which pixels are inverted. `identity`, `autocontrast` and `equalize` have none.
    """
    if name in GEOMETRIC:
        return _warp(images, name, magnitude)
    if name in COLOURS:
        x = images.to(torch.float32)
        factor = magnitude[:, None, None, None]
        return torch.lerp(_without(x, name), x, factor).round().clamp(0, 255).to(torch.uint8)
    return _by_value(images, name, magnitude)


def _random_operation(
    images: Tensor, names: tuple[str, ...], levels: Tensor, generator: torch.Generator
) -> Tensor:
    """Each image after one of the operations; `levels` float32 [N], 0 to 1."""
    n, device = len(images), images.device
    drawn = uniform(0, len(names), n, generator, device).long()
    signs = torch.where(uniform(0, 1, n, generator, device) < 0.5, -1.0, 1.0)
    result = images.clone()
    for k, name in enumerate(names):
        rows = (drawn == k).nonzero().flatten()
        if len(rows):
            magnitude = _magnitude(name, levels[rows], signs[rows], images.shape[2])
            result[rows] = apply_operation(images[rows], name, magnitude)
    return result


def _magnitude(name: str, levels: Tensor, signs: Tensor, side: int) -> Tensor:
    """What `apply_operation` takes, of levels from 0, the weakest, to 1."""
    if name in COLOURS:
        return 1 + ENHANCE * levels * signs
    if name == "posterize":
        return BITS * levels
    if name == "solarize":
        return 255 * (1 - levels)
    most = {"shear": SHEAR, "translate": TRANSLATE * side, "rotate": ROTATE}
    return most.get(name.split("_", maxsplit=1)[0], 0.0) * levels * signs


def _warp(images: Tensor, name: str, magnitude: Tensor) -> Tensor:
    """Bilinear resampling about the centre."""
    n, height, width, _ = images.shape
    # From where in the image, with sides from -1 to 1, each pixel comes.
    matrix = torch.eye(2, 3, device=images.device).repeat(n, 1, 1)
    if name == "rotate":
        cosine, sine = torch.cos(magnitude * math.pi / 180), torch.sin(magnitude * math.pi / 180)
        matrix[:, 0, 0] = matrix[:, 1, 1] = cosine
        matrix[:, 0, 1], matrix[:, 1, 0] = -sine * height / width, sine * width / height
    elif name == "shear_x":
        matrix[:, 0, 1] = -magnitude * height / width
    elif name == "shear_y":
        matrix[:, 1, 0] = -magnitude * width / height
    elif name == "translate_x":
        matrix[:, 0, 2] = -2 * magnitude / width
    else:
        matrix[:, 1, 2] = -2 * magnitude / height
    grid = F.affine_grid(matrix, [n, 3, height, width], align_corners=False)
    x = images.permute(0, 3, 1, 2).to(torch.float32)
    x = F.grid_sample(x, grid, padding_mode="reflection", align_corners=False)
    return x.permute(0, 2, 3, 1).round().to(torch.uint8)


def _without(x: Tensor, name: str) -> Tensor:
    """Images float32 [N, H, W, 3] with nothing left of the property, as Pillow's `ImageEnhance`."""
    if name == "brightness":
        return torch.zeros_like(x)
    if name == "sharpness":
        kernel = torch.ones(3, 3, device=x.device)
        kernel[1, 1] = 5
        kernel = (kernel / kernel.sum()).expand(3, 1, 3, 3)
        smooth = x.clone()  # the border stays as it is
        inside = F.conv2d(x.permute(0, 3, 1, 2), kernel, groups=3).permute(0, 2, 3, 1)
        smooth[:, 1:-1, 1:-1] = inside
        return smooth
    grey = (x @ torch.tensor(GREY, device=x.device))[..., None]
    return (grey if name == "colour" else grey.mean((1, 2), keepdim=True)).expand_as(x)


def _by_value(images: Tensor, name: str, magnitude: Tensor) -> Tensor:
    """What gives every value of a channel another one, wherever it stands."""
    if name == "posterize":
        steps = (2 ** magnitude.round()).to(torch.uint8)[:, None, None, None]
        return images.div(steps, rounding_mode="floor") * steps
    if name == "solarize":
        return torch.where(images >= magnitude[:, None, None, None], 255 - images, images)
    if name == "autocontrast":
        x = images.to(torch.float32)
        low, high = x.amin((1, 2), keepdim=True), x.amax((1, 2), keepdim=True)
        stretched = ((x - low) * (255 / (high - low).clamp_min(1))).to(torch.uint8)
        return torch.where(high > low, stretched, images)
    if name == "equalize":
        return _equalize(images)
    return images


def _equalize(images: Tensor) -> Tensor:
    """Histogram equalisation of each channel, as Pillow's `ImageOps.equalize`."""
    n, height, width, _ = images.shape
    values = images.permute(0, 3, 1, 2).reshape(n * 3, height * width).long()
    counts = torch.zeros(n * 3, 256, dtype=torch.int64, device=images.device)
    counts.scatter_add_(1, values, torch.ones_like(values))
    # The brightest value that occurs is not counted.
    last = counts.gather(1, values.amax(1, keepdim=True))
    step = (height * width - last) // 255
    below = counts.cumsum(1) - counts
    table = ((below + step // 2) // step.clamp_min(1)).clamp(0, 255)
    flat = torch.where(step > 0, table.gather(1, values), values)
    return flat.view(n, 3, height, width).permute(0, 2, 3, 1).to(torch.uint8)
