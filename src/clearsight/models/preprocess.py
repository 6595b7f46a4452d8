"""Pixels to what a backbone expects: the first layer of every model, and the only such place."""

from collections.abc import Sequence
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

Interpolation = Literal["bilinear", "bicubic"]


class Preprocess(nn.Module):
    """uint8 [N, H, W, 3], RGB, 0–255 → float32 [N, 3, S, S], normalised per channel.

    `mean` and `std` are in units of pixel values divided by 255; `size` is the side S to which
    images are resampled by `interpolation` (antialiased where they shrink), None for none.

    `scaled_twice` puts a mistake in, for lessons: pixels are divided by 255 once more than `mean`
    and `std` expect, so that every image becomes almost the same constant.
    """

    mean: Tensor
    std: Tensor

    def __init__(
        self,
        mean: Sequence[float],
        std: Sequence[float],
        size: int | None = None,
        interpolation: Interpolation = "bilinear",
        scaled_twice: bool = False,
    ) -> None:
        super().__init__()
        self.size = size
        self.interpolation: Interpolation = interpolation
        self.scaled_twice = scaled_twice
        self.register_buffer("mean", torch.tensor(mean, dtype=torch.float32).view(1, 3, 1, 1))
        self.register_buffer("std", torch.tensor(std, dtype=torch.float32).view(1, 3, 1, 1))

    def forward(self, images: Tensor) -> Tensor:
        # The permuted view of NHWC memory is channels-last already: no copy.
        x = images.permute(0, 3, 1, 2).to(torch.float32)
        if self.size is not None and self.size != x.shape[-1]:
            # Enlarging needs no filter against aliasing, and ONNX Runtime knows no such Resize.
            shrinks = self.size < x.shape[-1]
            x = F.interpolate(
                x,
                (self.size, self.size),
                mode=self.interpolation,
                antialias=shrinks,
                align_corners=False,
            )
            if self.interpolation == "bicubic":  # it overshoots at edges
                x = x.clamp(0.0, 255.0)
        if self.scaled_twice:
            x = x / 255.0
        return (x - 255.0 * self.mean) / (255.0 * self.std)

    def extra_repr(self) -> str:
        """What printing the layer shows."""
        return ", ".join(f"{name}={value}" for name, value in self.describe().items())

    def describe(self) -> dict[str, object]:
        """What `bundle.json` says of this layer; `Preprocess(**…)` rebuilds it."""
        return {
            "mean": [float(f"{v:.7g}") for v in self.mean.flatten().tolist()],
            "std": [float(f"{v:.7g}") for v in self.std.flatten().tolist()],
            "size": self.size,
            "interpolation": self.interpolation,
            "scaled_twice": self.scaled_twice,
        }
