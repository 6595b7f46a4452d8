"""Wide residual networks: WRN-16-8 and WRN-28-10.

After Zagoruyko and Komodakis, "Wide Residual Networks", 2016 (arXiv:1605.07146): pre-activation
blocks, three stages of (depth - 4) / 6 blocks with 16, 32 and 64 times `width` channels. Without
dropout, as the paper's main results.
"""

from collections.abc import Callable

from torch import Tensor, nn

from clearsight.models.resnet import STAGES, GlobalMean, linear_head, stage_names


class WideBlock(nn.Module):
    """norm ▸ ReLU ▸ conv ▸ norm ▸ ReLU ▸ conv, plus the shortcut; the first conv has the stride.

    Where the channels change, the shortcut is a 1 × 1 convolution of the activated input.
    """

    def __init__(self, channels_in: int, channels: int, stride: int) -> None:
        super().__init__()
        self.norm1 = nn.BatchNorm2d(channels_in)
        self.conv1 = nn.Conv2d(channels_in, channels, 3, stride=stride, padding=1, bias=False)
        self.norm2 = nn.BatchNorm2d(channels)
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
        self.activation = nn.ReLU()
        self.shortcut = None
        if channels_in != channels:
            self.shortcut = nn.Conv2d(channels_in, channels, 1, stride=stride, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        activated = self.activation(self.norm1(x))
        y = self.conv1(activated)
        y = self.conv2(self.activation(self.norm2(y)))
        return y + (x if self.shortcut is None else self.shortcut(activated))


class WideResNet(nn.Module):
    """Normalised images [N, 3, S, S], S ≥ 8 → features [N, 64 · width], averaged over the map."""

    def __init__(self, blocks: int, width: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, STAGES[0], 3, padding=1, bias=False)
        self.stages = nn.Sequential()
        channels_in = STAGES[0]
        for stage, base in enumerate(STAGES):
            strides = (1 if stage == 0 else 2,) + (1,) * (blocks - 1)
            stage_blocks = nn.Sequential()
            for stride in strides:
                stage_blocks.append(WideBlock(channels_in, base * width, stride))
                channels_in = base * width
            self.stages.append(stage_blocks)
        self.norm = nn.BatchNorm2d(channels_in)
        self.activation = nn.ReLU()
        self.pool = GlobalMean()
        self.feature_info = stage_names("stages", len(STAGES))
        self.features = channels_in
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, nonlinearity="relu")

    def forward(self, x: Tensor) -> Tensor:
        x = self.stages(self.conv(x))
        return self.pool(self.activation(self.norm(x)))


def _builder(depth: int, width: int) -> Callable[[int], tuple[nn.Module, nn.Module]]:
    def build(classes: int) -> tuple[nn.Module, nn.Module]:
        backbone = WideResNet(blocks=(depth - 4) // 6, width=width)
        return backbone, linear_head(backbone.features, classes)

    return build


BUILDERS = {f"wrn-{depth}-{width}": _builder(depth, width) for depth, width in ((16, 8), (28, 10))}
