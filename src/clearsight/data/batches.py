"""Batches: training images on the device as uint8, in a seeded order of their own each epoch."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from clearsight.data.images import ImageSet
from clearsight.runtime import generator


@dataclass(frozen=True)
class Batch:
    """One step's images.

    - `images`: uint8 [N, H, W, 3], on the device
    - `labels`: int64 [N]
    - `indices`: int64 [N], places in the training part
    """

    images: Tensor
    labels: Tensor
    indices: Tensor


class Batches:
    """The training part of a split, whole on the device.

    The order depends on seed and epoch only. A last, smaller batch is dropped (its images come
    early in another epoch's order) unless it is the only one.
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
        self.batch = min(batch, len(part))
        self.seed = seed
        self.balanced = balanced

    def __len__(self) -> int:
        """Steps of an epoch."""
        return len(self.images) // self.batch

    def epoch(self, epoch: int) -> Iterator[Batch]:
        """The batches of `epoch`, counted from 0."""
        for indices in self.indices(epoch):
            # index_select, for indexing with a tensor is several times slower on a CPU.
            images = self.images.index_select(0, indices)
            yield Batch(images, self.labels.index_select(0, indices), indices)

    def indices(self, epoch: int) -> list[Tensor]:
        """int64 [N] each, on the device: the places in the part of every batch of `epoch`."""
        order = self._order(epoch).to(self.images.device)
        return list(order.split(self.batch)[: len(self)])

    def _order(self, epoch: int) -> Tensor:
        draw = generator(self.seed, "order", epoch)
        if not self.balanced:
            return torch.randperm(len(self.images), generator=draw)
        labels = self.labels.cpu()
        weights = 1.0 / torch.bincount(labels).double()[labels]
        return torch.multinomial(weights, len(labels), replacement=True, generator=draw)


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
