"""Pixels to what a backbone expects: the first layer of every model, and the only such place."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class Preprocess(nn.Module):
    """uint8 [N, H, W, 3], RGB, 0–255 → float32 [N, 3, S, S], normalised per channel.

    `mean` and `std` are in units of pixel values divided by 255; `size` is the side S to which
    images are resampled (bilinear, antialiased), None for none.
    """

    mean: Tensor
    std: Tensor

    def __init__(
        self, mean: Sequence[float], std: Sequence[float], size: int | None = None
    ) -> None:
        super().__init__()
        self.size = size
        self.register_buffer("mean", torch.tensor(mean, dtype=torch.float32).view(1, 3, 1, 1))
        self.register_buffer("std", torch.tensor(std, dtype=torch.float32).view(1, 3, 1, 1))

    def forward(self, images: Tensor) -> Tensor:
        # The permuted view of NHWC memory is channels-last already: no copy.
        x = images.permute(0, 3, 1, 2).to(torch.float32)
        if self.size is not None and self.size != x.shape[-1]:
            side = (self.size, self.size)
            x = F.interpolate(x, side, mode="bilinear", antialias=True, align_corners=False)
        return (x - 255.0 * self.mean) / (255.0 * self.std)

    def describe(self) -> dict[str, object]:
        """What `bundle.json` says of this layer; `Preprocess(**…)` rebuilds it."""
        return {
            "mean": [float(f"{v:.7g}") for v in self.mean.flatten().tolist()],
            "std": [float(f"{v:.7g}") for v in self.std.flatten().tolist()],
            "size": self.size,
        }
