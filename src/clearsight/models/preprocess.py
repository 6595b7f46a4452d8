"""Pixels to what a backbone expects: the first layer of every model, and the only such place."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

Interpolation = Literal["bilinear", "bicubic"]
ChannelOrder = Literal["rgb", "bgr"]


@dataclass(frozen=True, kw_only=True)
class Expectation:
    """What a backbone's weights expect of images.

    - `mean`, `std`: per channel in the order `channel_order`, in units of pixel values divided by
      255; weights for raw pixels from 0 to 255 have mean 0 and standard deviation 1/255
    - `size`: side in px; None where any will do
    """

    mean: tuple[float, ...]
    std: tuple[float, ...]
    size: int | None = None
    interpolation: Interpolation = "bilinear"
    channel_order: ChannelOrder = "rgb"

    def normalised(self, pixels: Tensor) -> Tensor:
        """Pixels [N, 3, H, W], RGB, 0–255 → float32 of the same shape, as the weights expect."""
        x = pixels.float() / 255
        if self.channel_order == "bgr":
            x = x[:, [2, 1, 0]]
        mean, std = (x.new_tensor(v).view(1, 3, 1, 1) for v in (self.mean, self.std))
        return (x - mean) / std


class Preprocess(nn.Module):
    """uint8 [N, H, W, 3], RGB, 0–255 → float32 [N, 3, S, S], normalised per channel.

    `mean` and `std` are in units of pixel values divided by 255; `size` is the side S to which
    images are resampled by `interpolation` (antialiased where they shrink), None for none.
    `channel_order` is that of the output; `mean` and `std` follow it.

    `scaled_twice` reproduces a mistake, for lessons: pixels are divided by 255 once more than
    `mean` and `std` expect, so that every image becomes almost the same constant.
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
        channel_order: ChannelOrder = "rgb",
    ) -> None:
        super().__init__()
        self.size = size
        self.interpolation: Interpolation = interpolation
        self.scaled_twice = scaled_twice
        self.channel_order: ChannelOrder = channel_order
        self.register_buffer("mean", torch.tensor(mean, dtype=torch.float32).view(1, 3, 1, 1))
        self.register_buffer("std", torch.tensor(std, dtype=torch.float32).view(1, 3, 1, 1))

    def forward(self, images: Tensor) -> Tensor:
        x = self.resampled(images)
        if self.channel_order == "bgr":
            x = x.flip(1)
        if self.scaled_twice:
            x = x / 255.0
        return (x - 255.0 * self.mean) / (255.0 * self.std)

    def resampled(self, images: Tensor) -> Tensor:
        """uint8 [N, H, W, 3] → float32 [N, 3, S, S], still RGB and 0–255."""
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
        return x

    def extra_repr(self) -> str:
        """What printing the layer shows."""
        return ", ".join(f"{name}={value}" for name, value in self.describe().items())

    def describe(self) -> dict[str, object]:
        """What `bundle.json` says of this layer; `Preprocess(**…)` rebuilds it.

        `channel_order` is left out where it is RGB, so that older versions read it as well.
        """
        described: dict[str, object] = {
            "mean": [float(f"{v:.7g}") for v in self.mean.flatten().tolist()],
            "std": [float(f"{v:.7g}") for v in self.std.flatten().tolist()],
            "size": self.size,
            "interpolation": self.interpolation,
            "scaled_twice": self.scaled_twice,
        }
        if self.channel_order != "rgb":
            described["channel_order"] = self.channel_order
        return described
