"""Convolutions that train in bf16 on a CPU give what autocast gives, by other ways."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor
from torch.nn.functional import conv2d

from clearsight.runtime.device import autocast, cpu_multiplies_bf16

CPU = torch.device("cpu")
# What bf16 rounds away, of the largest value: eight binary places, and some more where the CPU has
# no bf16 instructions, for sums are rounded on their way there.
ROUNDING = 2**-8 if cpu_multiplies_bf16() else 2**-6


def test_depthwise_convolutions_train_in_float32_and_give_what_autocast_gives() -> None:
    weight = torch.randn(8, 1, 3, 3, requires_grad=True)
    images = torch.randn(2, 8, 6, 6, requires_grad=True)
    with autocast(CPU, "bf16"):
        found = conv2d(images.bfloat16(), weight, None, 2, 1, 1, 8)
        with torch.no_grad():
            still = conv2d(images.bfloat16(), weight, None, 2, 1, 1, 8)
    assert found.dtype == still.dtype == torch.bfloat16
    found.float().square().sum().backward()
    assert weight.grad is not None
    # By hand in float32, from the same rounded images: not rounded on the way, as bf16 would be.
    exact = weight.detach().clone().requires_grad_()
    images16 = images.detach().bfloat16().float()
    due = conv2d(images16, exact, None, 2, 1, 1, 8)
    due.bfloat16().float().square().sum().backward()
    torch.testing.assert_close(weight.grad, exact.grad)
    torch.testing.assert_close(found, due.bfloat16())
    torch.testing.assert_close(still, found, rtol=0.02, atol=0.02)


def gradients(convolve: Callable[[Tensor, Tensor], Tensor], side: int) -> list[Tensor]:
    """Output and gradients of a convolution of seeded images and weights."""
    draw = torch.Generator().manual_seed(0)
    images = torch.randn(4, 8, side, side, generator=draw).bfloat16().float().requires_grad_()
    weight = torch.randn(16, 8, 3, 3, generator=draw).bfloat16().float().requires_grad_()
    out = convolve(images, weight).float()
    out.backward(torch.randn(out.shape, generator=draw).bfloat16().float())
    assert images.grad is not None
    assert weight.grad is not None
    return [out.detach(), images.grad, weight.grad]


# Sides up to which another way pays, with and without padding, and the first ones beyond.
@pytest.mark.parametrize(
    ("side", "padding"), [(2, 1), (3, 1), (4, 1), (3, 0), (6, 0), (8, 0), (9, 0)]
)
def test_small_maps_have_the_gradients_of_an_ordinary_convolution(side: int, padding: int) -> None:
    def trained(images: Tensor, weight: Tensor) -> Tensor:
        with autocast(CPU, "bf16"):
            return conv2d(images, weight, padding=padding)

    found = gradients(trained, side)
    due = gradients(lambda images, weight: conv2d(images, weight, padding=padding), side)
    # Sums of the same products, rounded.
    for one, other in zip(found, due, strict=True):
        torch.testing.assert_close(one, other, rtol=0, atol=ROUNDING * other.abs().max().item())


@pytest.mark.parametrize(
    "settings",
    [{"stride": 2, "padding": 1}, {"dilation": 2}, {"bias": torch.ones(16)}, {"padding": "same"}],
)
def test_other_convolutions_of_small_maps_are_left_to_autocast(settings: dict) -> None:
    def trained(images: Tensor, weight: Tensor) -> Tensor:
        with autocast(CPU, "bf16"):
            return conv2d(images, weight, **settings)

    found = gradients(trained, 6)
    due = gradients(lambda images, weight: conv2d(images, weight, **settings), 6)
    for one, other in zip(found, due, strict=True):
        torch.testing.assert_close(one, other, rtol=0, atol=ROUNDING * other.abs().max().item())


def test_weights_that_are_frozen_get_no_gradient() -> None:
    images, weight = torch.randn(2, 4, 3, 3, requires_grad=True), torch.randn(4, 4, 3, 3)
    with autocast(CPU, "bf16"):
        conv2d(images, weight, padding=1).float().sum().backward()
    assert images.grad is not None
    assert weight.grad is None


def test_a_single_map_has_its_gradients_too() -> None:
    image, weight = torch.randn(4, 3, 3, requires_grad=True), torch.randn(4, 4, 3, 3)
    with autocast(CPU, "bf16"):
        out = conv2d(image, weight.requires_grad_(), padding=1)
    out.float().sum().backward()
    assert image.grad is not None
    assert weight.grad is not None


def test_images_and_weights_given_by_name_convolve_too() -> None:
    weight = torch.randn(4, 3, 3, 3, requires_grad=True)
    images = torch.randn(2, 3, 4, 4)
    with autocast(CPU, "bf16"):
        found = conv2d(input=images, weight=weight)
    assert torch.equal(found, conv2d(images.bfloat16(), weight.bfloat16()))
