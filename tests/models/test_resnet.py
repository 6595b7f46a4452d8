"""ResNets for CIFAR: published sizes, the shortcut without parameters, layout, export."""

import numpy as np
import pytest
import torch
from torch import nn

from clearsight.models.factory import build
from clearsight.models.preprocess import Preprocess
from clearsight.models.resnet import BUILDERS, BasicBlock, ResNet

CLASSES = tuple("abcdefghij")


def parameters(*modules: nn.Module) -> int:
    return sum(p.numel() for module in modules for p in module.parameters())


# Counted by hand from table 6 of the paper: convolutions + 2 per normalised channel + 650 of the
# head. In millions as published: 0.27, 0.46, 0.66, 0.85, 1.7.
@pytest.mark.parametrize(
    ("depth", "count"),
    [(20, 269_722), (32, 464_154), (44, 658_586), (56, 853_018), (110, 1_727_962)],
)
def test_parameter_counts_are_the_published_ones(depth: int, count: int) -> None:
    assert parameters(*BUILDERS[f"resnet{depth}"](10)) == count


def test_depth_counts_convolutions_and_head() -> None:
    backbone, head = BUILDERS["resnet32"](10)
    layers = [m for m in (*backbone.modules(), head) if isinstance(m, nn.Conv2d | nn.Linear)]
    assert len(layers) == 32


def test_option_a_shortcut_subsamples_and_fills_with_zeros() -> None:
    block = BasicBlock(2, 4, stride=2).eval()
    nn.init.zeros_(block.conv2.weight)  # what is left is the shortcut
    x = torch.arange(2 * 4 * 4, dtype=torch.float32).view(1, 2, 4, 4)
    y = block(x)
    assert y.shape == (1, 4, 2, 2)
    assert y[0, :2].tolist() == [[[0, 2], [8, 10]], [[16, 18], [24, 26]]]
    assert y[0, 2:].abs().max() == 0


@pytest.mark.parametrize("side", [8, 9, 28, 32, 65])
def test_any_side_from_8_pixels_up(side: int) -> None:
    backbone, head = BUILDERS["resnet20"](3)
    features = backbone(torch.randn(2, 3, side, side))
    assert features.shape == (2, 64)
    assert head(features).shape == (2, 3)


def test_keeps_the_channels_last_layout_through_every_block() -> None:
    backbone = ResNet(blocks=1)
    layouts = []
    for module in backbone.modules():
        if isinstance(module, BasicBlock):
            module.register_forward_hook(lambda _, __, y: layouts.append(y))
    backbone(torch.randn(2, 3, 16, 16).to(memory_format=torch.channels_last))
    assert [y.is_contiguous(memory_format=torch.channels_last) for y in layouts] == [True] * 3


def test_kaiming_initialisation_keeps_the_spread_of_activations() -> None:
    torch.manual_seed(0)
    weight = ResNet(blocks=3).get_parameter("stages.2.1.conv1.weight")
    assert weight.std().item() == pytest.approx((2 / (64 * 9)) ** 0.5, rel=0.02)


def test_same_seed_same_weights() -> None:
    weights = []
    for _ in range(2):
        torch.manual_seed(3)
        backbone, head = BUILDERS["resnet20"](10)
        weights.append(
            torch.cat([p.flatten() for p in (*backbone.parameters(), *head.parameters())])
        )
    assert torch.equal(*weights)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["resnet20", "wrn-16-8"])
def test_onnx_graph_from_raw_pixels_agrees_at_any_batch(name: str, tmp_path) -> None:
    import onnxruntime

    torch.manual_seed(0)
    model = build(name, CLASSES, Preprocess((0.5, 0.5, 0.5), (0.25, 0.25, 0.25))).eval()
    images = torch.randint(0, 256, (3, 32, 32, 3), dtype=torch.uint8)
    path = tmp_path / "model.onnx"
    batch = torch.export.Dim("batch")
    torch.onnx.export(
        model, (images,), path, input_names=["images"], dynamo=True,
        dynamic_shapes=({0: batch},), verbose=False,
    )  # fmt: skip
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    for n in (1, 3):
        [logits] = session.run(None, {"images": images[:n].numpy()})
        assert isinstance(logits, np.ndarray)
        np.testing.assert_allclose(logits, model(images[:n]).detach().numpy(), atol=1e-3, rtol=1e-3)
