"""Batches: training images on the device as uint8, in a seeded order of their own each epoch."""

import copy

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from clearsight.data.images import ImageSet
from clearsight.runtime.seeds import generator

RESAMPLED_AT_ONCE = 5000  # images: room for their float copies


class Batches:
    """The training part of a split, whole on the device.

    The order depends on seed and epoch only. A last, smaller batch is dropped (its images come
    early in another epoch's order) unless it is the only one.

    `weights`: float32 [N], of mean 1 over the part, or None where all images count alike.
    """

    def __init__(
        self,
        images: ImageSet,
        part: np.ndarray,
        *,
        batch: int,
        seed: int,
        device: torch.device,
        balanced: bool = False,
    ) -> None:
        self.images = torch.from_numpy(images.images[part]).to(device)
        self.labels = torch.from_numpy(images.labels[part]).to(device)
        self.weights = _relative(images.weights, part, device)
        self.batch = min(batch, len(part))
        self.seed = seed
        self.balanced = balanced

    def resized(self, factor: float) -> "Batches":
        """The same batches, with images whose side is `factor` (up to 1) of their own.

        The pixels are resampled once, all of them (bilinear, antialiased).
        """
        if factor == 1:
            return self
        other = copy.copy(self)
        side = round(factor * self.images.shape[1])
        parts = self.images.split(RESAMPLED_AT_ONCE)
        other.images = torch.cat([_resample(part, side) for part in parts])
        return other

    def __len__(self) -> int:
        """Steps of an epoch."""
        return len(self.images) // self.batch

    def take(self, indices: Tensor) -> tuple[Tensor, Tensor]:
        """uint8 [N, H, W, 3] and int64 [N]: images and labels at `indices`, int64 [N].

        All on the device.
        """
        # index_select, because indexing with a tensor is several times slower on a CPU.
        return self.images.index_select(0, indices), self.labels.index_select(0, indices)

    def indices(self, epoch: int, kept: Tensor | None = None) -> list[Tensor]:
        """int64 [N] each, on the device: the indices in the part of every batch of `epoch`.

        `epoch` counts from 0. `kept`, bool over the part, leaves images out: there are fewer
        batches then, one at least.
        """
        order = self._order(epoch).to(self.images.device)
        if kept is not None:
            order = order[kept[order]]
        return list(order.split(self.batch)[: max(1, len(order) // self.batch)])

    def _order(self, epoch: int) -> Tensor:
        draw = generator(self.seed, "order", epoch)
        if not self.balanced:
            return torch.randperm(len(self.images), generator=draw)
        labels = self.labels.cpu()
        weights = 1.0 / torch.bincount(labels).double()[labels]
        return torch.multinomial(weights, len(labels), replacement=True, generator=draw)


def _relative(weights: np.ndarray | None, part: np.ndarray, device: torch.device) -> Tensor | None:
    if weights is None:
        return None
    # Of mean 1, so that learning rates mean what they mean without weights.
    relative = weights[part] / weights[part].mean()
    return torch.from_numpy(relative.astype(np.float32)).to(device)


def _resample(images: Tensor, side: int) -> Tensor:
    """uint8 [N, H, W, 3] → uint8 [N, side, side, 3]."""
    pixels = images.permute(0, 3, 1, 2)
    # Only the CPU resamples uint8; it rounds to whole values as is done here.
    if images.device.type != "cpu":
        pixels = pixels.float()
    pixels = F.interpolate(pixels, size=(side, side), mode="bilinear", antialias=True)
    if images.device.type != "cpu":
        pixels = pixels.round().to(torch.uint8)
    return pixels.permute(0, 2, 3, 1).contiguous()


def channel_statistics(images: ImageSet, part: np.ndarray) -> tuple[list[float], list[float]]:
    """Mean and standard deviation of each channel over a part, of pixel values divided by 255."""
    # Exact and fast: a histogram per channel holds all there is to know of uint8 pixels.
    counts = np.zeros((3, 256), np.int64)
    for start in range(0, len(part), 4096):
        pixels = images.images[part[start : start + 4096]]
        for channel in range(3):
            counts[channel] += np.bincount(pixels[..., channel].ravel(), minlength=256)
    values = np.arange(256) / 255
    n = counts.sum(1)
    mean = counts @ values / n
    std = np.sqrt(counts @ values**2 / n - mean**2)
    # A constant channel (greyscale scans with an empty border) must not divide by zero.
    return mean.tolist(), np.maximum(std, 1 / 255).tolist()
