"""Wide ResNets: published sizes, pre-activation, the 1 × 1 shortcut."""

import pytest
import torch
from torch import nn

from clearsight.models.wide_resnet import BUILDERS, WideBlock, WideResNet


# 36.5 M and 11.0 M in table 9 of the paper.
@pytest.mark.parametrize(("name", "count"), [("wrn-28-10", 36_479_194), ("wrn-16-8", 10_961_370)])
def test_parameter_counts_are_the_published_ones(name: str, count: int) -> None:
    with torch.device("meta"):
        backbone, head = BUILDERS[name](10)
    assert sum(p.numel() for m in (backbone, head) for p in m.parameters()) == count


def test_block_without_change_of_channels_passes_its_input_on() -> None:
    block = WideBlock(4, 4, stride=1).eval()
    nn.init.zeros_(block.conv2.weight)
    x = torch.randn(2, 4, 8, 8)
    assert torch.equal(block(x), x)  # negative values too: the sum is not activated


def test_shortcut_projects_the_activated_input() -> None:
    block = WideBlock(1, 2, stride=2).eval()
    nn.init.zeros_(block.conv2.weight)
    nn.init.constant_(block.get_parameter("shortcut.weight"), 3.0)
    x = torch.tensor([[1.0, 9.0, -1.0], [9.0, 9.0, 9.0], [2.0, 9.0, 0.5]]).view(1, 1, 3, 3)
    expected = torch.tensor([[3.0, 0.0], [6.0, 1.5]]).expand(2, 2, 2)
    torch.testing.assert_close(block(x)[0], expected, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("side", [8, 9, 32, 33])
def test_any_side_from_8_pixels_up(side: int) -> None:
    backbone = WideResNet(blocks=1, width=1)
    assert backbone(torch.randn(2, 3, side, side)).shape == (2, 64)
    assert backbone.features == 64


def test_maps_stay_channels_last() -> None:
    maps = []
    backbone = WideResNet(blocks=1, width=1)
    for block in (m for m in backbone.modules() if isinstance(m, WideBlock)):
        block.register_forward_hook(lambda _, __, y: maps.append(y))
    backbone(torch.randn(2, 3, 16, 16).to(memory_format=torch.channels_last))
    assert [y.is_contiguous(memory_format=torch.channels_last) for y in maps] == [True] * 3
