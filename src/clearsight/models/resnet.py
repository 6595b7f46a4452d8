"""The residual networks for CIFAR: ResNet-20, 32, 44, 56 and 110.

After He, Zhang, Ren and Sun, "Deep Residual Learning for Image Recognition", 2015
(arXiv:1512.03385), section 4.2: three stages of n blocks with 16, 32 and 64 channels, 6n + 2
layers, and shortcuts without parameters (option A).
"""

from collections.abc import Callable

import torch.nn.functional as F
from torch import Tensor, nn

STAGES = (16, 32, 64)


class BasicBlock(nn.Module):
    """conv ▸ norm ▸ ReLU ▸ conv ▸ norm, plus the shortcut, ▸ ReLU; the first conv has the stride.

    Where the map shrinks, the shortcut takes every `stride`-th pixel and fills the new channels
    with zeros.
    """

    def __init__(self, channels_in: int, channels: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels_in, channels, 3, stride=stride, padding=1, bias=False)
        self.norm1 = nn.BatchNorm2d(channels)
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
        self.norm2 = nn.BatchNorm2d(channels)
        self.stride = stride
        self.new_channels = channels - channels_in

    def forward(self, x: Tensor) -> Tensor:
        y = F.relu(self.norm1(self.conv1(x)))
        y = self.norm2(self.conv2(y))
        if self.new_channels:
            x = F.pad(x[:, :, :: self.stride, :: self.stride], (0, 0, 0, 0, 0, self.new_channels))
        return F.relu(y + x)


class GlobalMean(nn.Module):
    """Maps [N, C, H, W] → features [N, C], averaged over the map."""

    def forward(self, x: Tensor) -> Tensor:
        return x.mean((2, 3))


class ResNet(nn.Module):
    """Normalised images [N, 3, S, S], S ≥ 8 → features [N, 64], averaged over the map."""

    def __init__(self, blocks: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, STAGES[0], 3, padding=1, bias=False)
        self.norm = nn.BatchNorm2d(STAGES[0])
        self.activation = nn.ReLU()
        self.stages = nn.Sequential()
        channels_in = STAGES[0]
        for stage, channels in enumerate(STAGES):
            strides = (1 if stage == 0 else 2,) + (1,) * (blocks - 1)
            stage_blocks = nn.Sequential()
            for stride in strides:
                stage_blocks.append(BasicBlock(channels_in, channels, stride))
                channels_in = channels
            self.stages.append(stage_blocks)
        self.pool = GlobalMean()
        self.feature_info = stage_names("stages", len(STAGES))
        self.features = channels_in
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, nonlinearity="relu")

    def forward(self, x: Tensor) -> Tensor:
        x = self.activation(self.norm(self.conv(x)))
        return self.pool(self.stages(x))


def stage_names(container: str, count: int) -> list[dict[str, str]]:
    """Where the stages are, in the form in which timm's models say it (`feature_info`)."""
    return [{"module": f"{container}.{k}"} for k in range(count)]


def linear_head(features: int, classes: int) -> nn.Linear:
    """Features [N, D] → logits [N, K]; Kaiming initialisation, no bias at the start."""
    head = nn.Linear(features, classes)
    nn.init.kaiming_normal_(head.weight, nonlinearity="linear")
    nn.init.zeros_(head.bias)
    return head


def _builder(depth: int) -> Callable[[int], tuple[nn.Module, nn.Module]]:
    def build(classes: int) -> tuple[nn.Module, nn.Module]:
        backbone = ResNet(blocks=(depth - 2) // 6)
        return backbone, linear_head(backbone.features, classes)

    return build


BUILDERS = {f"resnet{depth}": _builder(depth) for depth in (20, 32, 44, 56, 110)}
