"""The one place where pixels are scaled."""

import pytest
import torch
from torch import Tensor, nn

from clearsight.bundle.engines import onnx_engine
from clearsight.bundle.export import onnx_graph
from clearsight.models.classifier import Classifier
from clearsight.models.preprocess import ChannelOrder, Expectation, Interpolation, Preprocess


def test_pixels_are_scaled_once_and_normalised() -> None:
    layer = Preprocess([0.5, 0.4, 0.3], [0.25, 0.2, 0.1])
    x = layer(torch.tensor([[[[0, 102, 255]]]], dtype=torch.uint8))
    assert x.shape == (1, 3, 1, 1)
    expected = torch.tensor([-2.0, 0.0, 7.0])
    assert torch.allclose(x.flatten(), expected, atol=1e-5)


def test_nhwc_pixels_become_channels_last_without_a_copy_of_order() -> None:
    x = Preprocess([0.5] * 3, [0.25] * 3)(torch.zeros(2, 8, 8, 3, dtype=torch.uint8))
    assert x.is_contiguous(memory_format=torch.channels_last)


def test_resizing_is_part_of_the_layer_and_keeps_a_constant_image_constant() -> None:
    layer = Preprocess([0.0] * 3, [1.0] * 3, size=64)
    x = layer(torch.full((1, 32, 32, 3), 51, dtype=torch.uint8))
    assert x.shape == (1, 3, 64, 64)
    assert torch.allclose(x, torch.full_like(x, 0.2), atol=1e-6)


def test_describe_rebuilds_the_layer() -> None:
    layer = Preprocess([0.49, 0.48, 0.44], [0.24, 0.24, 0.26], size=48, channel_order="bgr")
    again = Preprocess(**layer.describe())  # ty: ignore[invalid-argument-type]
    pixels = torch.randint(0, 256, (2, 32, 32, 3), dtype=torch.uint8)
    assert torch.equal(layer(pixels), again(pixels))


def test_channels_are_passed_on_in_the_order_asked_for_with_their_own_statistics() -> None:
    layer = Preprocess([0.4, 0.2, 0.0], [0.2, 0.4, 1.0], channel_order="bgr")
    x = layer(torch.tensor([[[[255, 51, 102]]]], dtype=torch.uint8))  # R, G, B = 1, 0.2, 0.4
    assert torch.allclose(x.flatten(), torch.tensor([0.0, 0.0, 1.0]), atol=1e-6)


def test_a_description_of_older_versions_is_read_as_rgb() -> None:
    described = Preprocess([0.5] * 3, [0.25] * 3).describe()
    assert "channel_order" not in described
    assert Preprocess(**described).channel_order == "rgb"  # ty: ignore[invalid-argument-type]


@pytest.mark.parametrize("order", ["rgb", "bgr"])
def test_an_expectation_normalises_as_the_layer_does(order: ChannelOrder) -> None:
    mean, std = (0.4, 0.2, 0.1), (0.3, 0.2, 0.25)
    pixels = torch.randint(0, 256, (2, 8, 8, 3), dtype=torch.uint8)
    layer = Preprocess(mean, std, 16, "bicubic", channel_order=order)
    expects = Expectation(mean=mean, std=std, channel_order=order)
    torch.testing.assert_close(expects.normalised(layer.resampled(pixels)), layer(pixels))


def test_bicubic_resampling_stays_within_the_range_of_pixels() -> None:
    edge = torch.zeros(1, 8, 8, 3, dtype=torch.uint8)
    edge[:, :, 4:] = 255
    x = Preprocess([0.0] * 3, [1.0] * 3, 32, "bicubic")(edge)
    assert (x.min(), x.max()) == (0.0, 1.0)


def test_shrinking_is_antialiased() -> None:
    stripes = torch.zeros(1, 32, 32, 3, dtype=torch.uint8)
    stripes[:, :, ::2] = 200
    x = Preprocess([0.0] * 3, [1.0] * 3, 8)(stripes)
    inner = x[..., 2:-2]
    assert torch.allclose(inner, torch.full_like(inner, 100 / 255), atol=0.02)


def test_scaled_twice_divides_pixels_once_more() -> None:
    layer = Preprocess([0.5] * 3, [0.25] * 3, scaled_twice=True)
    x = layer(torch.full((1, 1, 1, 3), 255, dtype=torch.uint8))
    assert torch.allclose(x, torch.full_like(x, (1 / 255 - 0.5) / 0.25), atol=1e-5)
    assert layer.describe()["scaled_twice"] is True


@pytest.mark.parametrize("interpolation", ["bilinear", "bicubic"])
@pytest.mark.parametrize(("side", "size"), [(32, 224), (48, 32)])
def test_the_graph_resamples_as_the_layer_does(
    interpolation: Interpolation, side: int, size: int
) -> None:
    layer = Preprocess([0.5, 0.4, 0.3], [0.25] * 3, size, interpolation, channel_order="bgr")
    model = Classifier(
        name="pixels", preprocess=layer, backbone=Pixels(), head=nn.Identity(), classes=("a", "b")
    ).eval()
    generator = torch.Generator().manual_seed(0)
    images = torch.randint(0, 256, (3, side, side, 3), dtype=torch.uint8, generator=generator)
    engine = onnx_engine(onnx_graph(model, size=side, fit="letterbox"), "graph")
    found = engine(images.numpy()).probabilities
    assert abs(found - model(images).softmax(1).numpy()).max() < 1e-5


class Pixels(nn.Module):
    """Two numbers that depend on single pixels of what enters."""

    def forward(self, x: Tensor) -> Tensor:
        return torch.stack([x[:, 0, 5, 7] - x[:, 1, -1, -3], x[:, 2, 11, -8]], 1)


def test_printing_the_layer_says_what_it_does() -> None:
    text = repr(Preprocess((0.5, 0.25, 0.75), (0.25, 0.5, 0.125), 64, "bicubic"))
    assert text == (
        "Preprocess(mean=[0.5, 0.25, 0.75], std=[0.25, 0.5, 0.125], size=64, "
        "interpolation=bicubic, scaled_twice=False)"
    )
