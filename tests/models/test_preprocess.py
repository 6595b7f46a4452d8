"""The one place where pixels are scaled."""

import torch

from clearsight.models.preprocess import Preprocess


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
    layer = Preprocess([0.49, 0.48, 0.44], [0.24, 0.24, 0.26], size=48)
    again = Preprocess(**layer.describe())  # ty: ignore[invalid-argument-type]
    pixels = torch.randint(0, 256, (2, 32, 32, 3), dtype=torch.uint8)
    assert torch.equal(layer(pixels), again(pixels))
