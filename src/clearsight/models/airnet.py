"""airnet: small whitened networks in the manner of the public CIFAR-10 speed records.

After K. Jordan, "94% on CIFAR-10 in 3.29 Seconds on a Single GPU", 2024 (arXiv:2404.00498):
a frozen whitening layer, dirac initialisation, few wide 3 × 3 convolutions, batch norm with fast
statistics and no scale, and a scaled linear head. The larger network is wider, and each of its
groups has a third convolution and a shortcut.
"""

from collections.abc import Callable
from typing import cast

import torch
from torch import Tensor, nn

from clearsight.models.resnet import stage_names


class BatchNorm(nn.BatchNorm2d):
    """Bias only; statistics follow within a few steps, for training is short."""

    def __init__(self, channels: int) -> None:
        super().__init__(channels, eps=1e-5, momentum=0.4)
        self.weight.requires_grad_(False)


class GELU(nn.Module):
    """GELU by tanh; on a CPU in bf16 the exact one, which oneDNN computes in half the time.

    They differ by less than 0.0005 (Hendrycks and Gimpel 2016, arXiv:1606.08415), under what bf16
    rounds away.
    """

    def forward(self, x: Tensor) -> Tensor:
        exact = x.device.type == "cpu" and x.dtype == torch.bfloat16
        return nn.functional.gelu(x, approximate="none" if exact else "tanh")


class Group(nn.Module):
    """conv ▸ max-pool ▸ norm ▸ GELU ▸ conv ▸ norm ▸ GELU: halves the map's side."""

    def __init__(self, channels_in: int, channels: int) -> None:
        super().__init__()
        self.conv1 = dirac_conv(channels_in, channels, padding=0)
        self.pool = nn.MaxPool2d(2)
        self.norm1 = BatchNorm(channels)
        self.conv2 = dirac_conv(channels, channels)
        self.norm2 = BatchNorm(channels)
        self.activation = GELU()

    def forward(self, x: Tensor) -> Tensor:
        x = self.activation(self.norm1(self.pooled(x)))
        return self.activation(self.norm2(self.conv2(x)))

    def pooled(self, x: Tensor) -> Tensor:
        """conv ▸ max-pool, without the last row and column of odd maps, which the pool drops.

        They are a tenth of a training step's arithmetic at 32 px, and more at 24.
        """
        height, width = x.shape[2:]
        x = nn.functional.pad(x, (1, 1 - width % 2, 1, 1 - height % 2))
        return self.pool(self.conv1(x))


class ResidualGroup(Group):
    """A group whose second convolution is followed by a third, with a shortcut around both."""

    def __init__(self, channels_in: int, channels: int) -> None:
        super().__init__(channels_in, channels)
        self.conv3 = dirac_conv(channels, channels)
        self.norm3 = BatchNorm(channels)

    def forward(self, x: Tensor) -> Tensor:
        x = self.activation(self.norm1(self.pooled(x)))
        y = self.activation(self.norm2(self.conv2(x)))
        return self.activation(x + self.norm3(self.conv3(y)))


class GlobalMax(nn.Module):
    """Maps [N, C, H, W] → features [N, C], the maximum over the map."""

    def forward(self, x: Tensor) -> Tensor:
        return x.amax((2, 3))


class AirNet(nn.Module):
    """Normalised images [N, 3, 32, 32] → features [N, D]; any side from 24 px up."""

    def __init__(self, widths: tuple[int, int, int], group: type[Group] = Group) -> None:
        super().__init__()
        self.whiten = nn.Conv2d(3, 24, kernel_size=2)
        nn.init.zeros_(cast(Tensor, self.whiten.bias))
        # Frozen whole: the first group, whose maps are the largest, then needs no gradient of its
        # input. To train the bias made no difference.
        self.whiten.requires_grad_(False)
        self.activation = GELU()
        channels = (24, *widths)
        self.groups = nn.Sequential(*(group(a, b) for a, b in zip(channels, widths, strict=False)))
        self.pool = GlobalMax()
        self.feature_info = stage_names("groups", len(widths))
        self.features = widths[-1]

    def forward(self, x: Tensor) -> Tensor:
        return self.pool(self.groups(self.activation(self.whiten(x))))

    def prepare(self, images: Tensor) -> None:
        """Sets the whitening filters to the eigenvectors of the images' 2 × 2 patches, ±.

        `images`: normalised [N, 3, H, W]; a few thousand are enough for a 12 × 12 covariance.
        """
        patches = nn.functional.unfold(images[:5000].float(), 2)  # [N, 12, L]
        flat = patches.transpose(1, 2).reshape(-1, 12)
        values, vectors = torch.linalg.eigh(flat.T @ flat / len(flat))
        filters = (vectors / (values + 5e-4).sqrt()).T.reshape(-1, 3, 2, 2)
        self.whiten.weight.data.copy_(torch.cat([filters, -filters]))


class ScaledLinear(nn.Module):
    """A linear head whose logits start near zero: weights of unit spread, divided by the width."""

    def __init__(self, features: int, classes: int) -> None:
        super().__init__()
        weight = torch.randn(classes, features)
        self.weight = nn.Parameter(weight / weight.std())

    def forward(self, x: Tensor) -> Tensor:
        return nn.functional.linear(x, self.weight) / self.weight.shape[1]


def dirac_conv(channels_in: int, channels: int, padding: int = 1) -> nn.Conv2d:
    """3 × 3 without bias; the first filters pass their input through (dirac)."""
    conv = nn.Conv2d(channels_in, channels, 3, padding=padding, bias=False)
    nn.init.dirac_(conv.weight.data[:channels_in])
    return conv


def _builder(
    widths: tuple[int, int, int], group: type[Group] = Group
) -> Callable[[int], tuple[nn.Module, nn.Module]]:
    def build(classes: int) -> tuple[nn.Module, nn.Module]:
        return AirNet(widths, group), ScaledLinear(widths[-1], classes)

    return build


# The tiny one, of 11,000 weights, is for trying things out in seconds.
BUILDERS = {
    "airnet94": _builder((64, 256, 256)),
    "airnet96": _builder((128, 384, 512), ResidualGroup),
    "airnet-tiny": _builder((8, 16, 16)),
}
