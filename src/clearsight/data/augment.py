"""Augmentation of a batch on its device: drawn per image, uint8 in and out.

Nothing here touches a global random state: every draw comes from the generator given, in a fixed
order, so the same generator state gives the same batch. The order of the transforms is: flip and
translation (exact, on whole pixels), rotation and zoom, brightness, contrast (one float stage,
rounded once), TrivialAugment, AugMix, then what cameras and files do (blur, noise, JPEG), Cutout,
and Mixup or CutMix.
"""

from collections.abc import Callable
from dataclasses import replace

import torch
import torch.nn.functional as F
from kornia.enhance import adjust_brightness_accumulative, adjust_contrast_with_mean_subtraction
from kornia.geometry.transform import get_rotation_matrix2d, warp_affine
from torch import Tensor
from torch.distributions import Gamma

from clearsight.config.schema import AugmentConfig
from clearsight.data.degradations import blur, noise
from clearsight.data.jpeg import jpeg_round_trip
from clearsight.data.policies import augmix, trivial_augment
from clearsight.errors import ConfigError
from clearsight.runtime.seeds import drawing_from, uniform

JPEG_QUALITIES = (10, 96)  # from, and up to but without


def augment(
    images: Tensor,
    labels: Tensor,
    *,
    config: AugmentConfig,
    epoch: int | Tensor,
    indices: Tensor,
    generator: torch.Generator,
    classes: int,
    weights: Tensor | None = None,
) -> tuple[Tensor, Tensor]:
    """The batch as one step of training sees it: (images, targets).

    - `images`: uint8 [N, H, W, 3]; never modified, returned as they are where nothing is on
    - `labels`: int64 [N]
    - `indices`: int64 [N], each image's index in the training set: together with `epoch` it says
      whether the alternating flip turns it
    - `epoch`: number of the epoch, or where epochs leave images out, int64 [N], how often each was
      shown before
    - `weights`: float32 [N], how much each image counts in the loss; None: all alike
    - targets: `labels`, or float32 [N, `classes`] with rows that sum to 1 under Mixup or CutMix:
      the labels of an image and its partner by their shares of the pixels, and by their weights
      where these are given, so that a row then sums to what the mixed image counts

    All on the device of `images`; `generator` may live on another. Raises `ConfigError` for a
    translation that reflection can't fill.
    """
    if config.flip != "none" or config.translate:
        images = _flip_and_translate(images, config, epoch, indices, generator)
    if config.rotate or config.zoom or config.brightness or config.contrast:
        images = _warp_and_colour(images, config, generator)
    for share, change in (
        (config.trivial, trivial_augment),
        (config.augmix, augmix),
        (config.blur, blur),
        (config.noise, noise),
        (config.jpeg, _jpeg),
    ):
        if share:
            images = _changed(images, share, change, generator)
    if config.cutout:
        images = _cutout(images, config.cutout, generator)
    if config.mixup or config.cutmix:
        return _mix(images, labels, config, generator, classes, weights)
    return images, labels


def resized_lengths(config: AugmentConfig, factor: float) -> AugmentConfig:
    """`config` for images of `factor` times their side: lengths in pixels scale, rounded down."""
    translate, cutout = int(factor * config.translate), int(factor * config.cutout)
    return replace(config, translate=translate, cutout=cutout)


def alternating_flip(indices: Tensor, epoch: int | Tensor) -> Tensor:
    """bool [N]: which images are mirrored in `epoch`; every image is in every second epoch.

    Where `epoch` is a tensor, it is each image's own. Which epoch an image begins with comes from a
    hash of its index (the finaliser of MurmurHash3), so half of the images are mirrored at a time.
    After Jordan 2024 (arXiv:2404.00498), section 3.6.
    """
    h = indices & 0xFFFFFFFF
    for factor, shift in ((0x85EBCA6B, 16), (0xC2B2AE35, 13)):
        h = ((h ^ (h >> shift)) * factor) & 0xFFFFFFFF
    return ((h ^ (h >> 16)) + epoch) % 2 == 1


def _flip_and_translate(
    images: Tensor,
    config: AugmentConfig,
    epoch: int | Tensor,
    indices: Tensor,
    generator: torch.Generator,
) -> Tensor:
    """Mirrors, then shifts by up to ± `translate` px, as by reflected padding and crop.

    Both only re-index rows and columns. Whole rows are copied first, then columns gathered within
    them: on a CPU six times as fast as gathering pixels.
    """
    n, height, width, channels = images.shape
    t = config.translate
    if t >= min(height, width):
        raise ConfigError(
            f"augment.translate: found {t} px for images of {height} × {width} px, reflection "
            f"reaches {min(height, width) - 1} px at most; lower it"
        )
    device = images.device
    rows = torch.arange(height, device=device).expand(n, height)
    columns = torch.arange(width, device=device).expand(n, width)
    if t:
        shift = torch.randint(-t, t + 1, (2, n, 1), generator=generator, device=generator.device)
        down, right = shift.to(device)
        rows = _reflect(rows + down, height)
        columns = _reflect(columns + right, width)
    if config.flip == "alternating":
        columns = torch.where(
            alternating_flip(indices, epoch)[:, None], width - 1 - columns, columns
        )
    elif config.flip == "random":
        flip = uniform(0, 1, n, generator, device) < 0.5
        columns = torch.where(flip[:, None], width - 1 - columns, columns)
    starts = torch.arange(n, device=device)[:, None] * height
    shifted = images.reshape(n * height, width * channels).index_select(
        0, (starts + rows).flatten()
    )
    offsets = torch.arange(channels, device=device)
    values = (columns[:, :, None] * channels + offsets).view(n, 1, width * channels)
    shifted = shifted.view(n, height, width * channels)
    return shifted.gather(2, values.expand_as(shifted)).view(images.shape)


def _reflect(positions: Tensor, side: int) -> Tensor:
    """Positions up to `side` - 1 outside 0 … `side` - 1 mirrored back; the edge is not repeated."""
    last = side - 1
    return last - (last - positions.abs()).abs()


def _warp_and_colour(images: Tensor, config: AugmentConfig, generator: torch.Generator) -> Tensor:
    """Rotation and zoom about the centre in one bilinear resampling, then brightness, contrast.

    What comes into view from outside is the image reflected at its border. Zoom is the same in
    both directions. Brightness multiplies; contrast scales the distance to the image's mean grey.
    """
    n, height, width, _ = images.shape
    device = images.device
    x = images.permute(0, 3, 1, 2).to(torch.float32) / 255
    if config.rotate or config.zoom:
        angles = uniform(-config.rotate, config.rotate, n, generator, device)
        scales = uniform(1 - config.zoom, 1 + config.zoom, n, generator, device)
        centre = torch.tensor([(width - 1) / 2, (height - 1) / 2], device=device).expand(n, 2)
        matrix = get_rotation_matrix2d(centre, angles, scales[:, None].expand(n, 2))
        x = warp_affine(x, matrix, (height, width), padding_mode="reflection", align_corners=True)
    if config.brightness:
        factors = uniform(1 - config.brightness, 1 + config.brightness, n, generator, device)
        x = adjust_brightness_accumulative(x, factors)
    if config.contrast:
        factors = uniform(1 - config.contrast, 1 + config.contrast, n, generator, device)
        x = adjust_contrast_with_mean_subtraction(x, factors)
    return _to_uint8(x.permute(0, 2, 3, 1) * 255)


def _changed(
    images: Tensor,
    share: float,
    change: Callable[[Tensor, torch.Generator], Tensor],
    generator: torch.Generator,
) -> Tensor:
    """The images, each one changed with the probability `share`."""
    drawn = uniform(0, 1, len(images), generator, images.device) < share
    rows = drawn.nonzero().flatten()
    if not len(rows):
        return images
    return images.index_copy(0, rows, change(images.index_select(0, rows), generator))


def _jpeg(images: Tensor, generator: torch.Generator) -> Tensor:
    quality = uniform(*JPEG_QUALITIES, len(images), generator, images.device)
    return jpeg_round_trip(images, quality.floor())


def _cutout(images: Tensor, side: int, generator: torch.Generator) -> Tensor:
    """Fills a square of `side` px, its centre anywhere, with the image's own mean colour.

    The square may reach over the border, as in DeVries and Taylor 2017 (arXiv:1708.04552). They
    fill with the data set's mean; the image's own needs no statistics and hides as much.
    """
    mean = _to_uint8(images.to(torch.float32).mean((1, 2), keepdim=True))
    sides = torch.full((len(images),), side, device=images.device)
    inside = _squares(sides, images, generator)
    return torch.where(inside[..., None], mean, images)


def _mix(
    images: Tensor,
    labels: Tensor,
    config: AugmentConfig,
    generator: torch.Generator,
    classes: int,
    weights: Tensor | None,
) -> tuple[Tensor, Tensor]:
    """Mixup (Zhang et al. 2018) or CutMix (Yun et al. 2019) with a partner from the same batch.

    Each image has its own lambda and, where both are on, its own fair draw of which of the two.
    An image's share of its target is its share of the pixels.
    """
    n, height, width, _ = images.shape
    device = images.device
    partner = torch.randperm(n, generator=generator, device=generator.device).to(device)
    share = torch.ones(n, height, width, device=device)
    if config.mixup:
        share = _beta(config.mixup, n, generator, device)[:, None, None].expand_as(share)
    if config.cutmix:
        cut = 1 - _beta(config.cutmix, n, generator, device)
        sides = (cut.sqrt() * min(height, width)).round().long()
        pasted = (~_squares(sides, images, generator)).to(torch.float32)
        if config.mixup:
            chosen = uniform(0, 1, n, generator, device)[:, None, None] < 0.5
            share = torch.where(chosen, pasted, share)
        else:
            share = pasted
    mixed = torch.lerp(
        images[partner].to(torch.float32), images.to(torch.float32), share[..., None]
    )
    own = share.mean((1, 2))[:, None]
    targets = F.one_hot(labels, classes).to(torch.float32)
    if weights is not None:
        targets = targets * weights[:, None]
    return _to_uint8(mixed), own * targets + (1 - own) * targets[partner]


def _squares(sides: Tensor, images: Tensor, generator: torch.Generator) -> Tensor:
    """bool [N, H, W]: a square per image, centred on any pixel, clipped at the border.

    `sides`: int64 [N], px; a square of an even side reaches one pixel further up and left.
    """
    n, height, width, _ = images.shape
    device = images.device

    def spans(length: int) -> Tensor:
        centres = torch.randint(length, (n, 1), generator=generator, device=generator.device)
        first = centres.to(device) - sides[:, None] // 2
        position = torch.arange(length, device=device)
        return (position >= first) & (position < first + sides[:, None])

    return spans(height)[:, :, None] & spans(width)[:, None, :]


def _beta(alpha: float, n: int, generator: torch.Generator, device: torch.device) -> Tensor:
    """float32 [N] from Beta(`alpha`, `alpha`)."""
    # Of gamma draws, and not torch's Beta: small `alpha` gives numbers below float32's least, and
    # that has no double precision.
    shape = torch.full((2, n), alpha, dtype=torch.float64, device=generator.device)
    with drawing_from(generator):
        first, second = Gamma(shape, torch.ones_like(shape), validate_args=False).sample()
    return (first / (first + second)).to(device, torch.float32)


def _to_uint8(values: Tensor) -> Tensor:
    """Rounded to whole pixel values, contiguous; `values` lie in 0–255."""
    return values.round().to(torch.uint8).contiguous()
